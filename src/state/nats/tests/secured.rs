//! Brokers that ask who comes: over TLS, with certificates of both sides, a user and a password.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use async_nats::connection::State;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::*;

/// A broker and the files of whoever may connect.
struct Secured {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl Secured {
    fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("qiwi-nats-tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = authority.self_signed(&key).unwrap();
        fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        for name in ["broker", "gateway"] {
            let key = KeyPair::generate().unwrap();
            let names = vec!["127.0.0.1".to_owned(), name.to_owned()];
            let certificate =
                CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
            fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        fs::write(folder.join("password"), "correct horse\n").unwrap();
        fs::write(folder.join("wrong"), "battery\n").unwrap();
        let port = super::cluster::free_ports(1)[0];
        let at = folder.display();
        let config = format!(
            "listen: \"127.0.0.1:{port}\"\n\
             tls {{ cert_file: \"{at}/broker.pem\", key_file: \"{at}/broker.key\", \
             ca_file: \"{at}/ca.pem\", verify: true }}\n\
             authorization {{ user: \"gateway\", password: \"correct horse\" }}\n"
        );
        fs::write(folder.join("broker.conf"), config).unwrap();
        let child = Command::new(cluster::program())
            .arg("-c")
            .arg(folder.join("broker.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, port, child }
    }

    fn state(&self) -> config::State {
        use crate::config::value::{Raw, Value as _};
        let file = |name: &str| Some(self.folder.join(name));
        config::State {
            nats_url: NatsUrl::read(&Raw::Text(format!("tls://127.0.0.1:{}", self.port))),
            nats_user: Some("gateway".to_owned()),
            nats_password_file: file("password"),
            nats_ca_file: file("ca.pem"),
            nats_cert_file: file("gateway.pem"),
            nats_key_file: file("gateway.key"),
            ..config::State::default()
        }
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_is_reached_with_the_files_that_are_configured_and_with_no_others() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let broker = Secured::start();
    let good = connect::connect(&broker.state()).await.unwrap();
    until(Duration::from_secs(20), || good.connection_state() == State::Connected).await;
    // The broker is there, so what does not connect now is not let in.
    let strangers = [
        config::State { nats_password_file: Some(broker.folder.join("wrong")), ..broker.state() },
        config::State { nats_cert_file: None, nats_key_file: None, ..broker.state() },
        config::State { nats_ca_file: None, ..broker.state() },
    ];
    for stranger in strangers {
        let client = connect::connect(&stranger).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_ne!(client.connection_state(), State::Connected, "{stranger:?}");
    }
    let missing = config::State { nats_ca_file: Some("/nowhere".into()), ..broker.state() };
    let error = connect::connect(&missing).await.unwrap_err();
    assert_eq!(error.key, "state.nats_ca_file");
}
