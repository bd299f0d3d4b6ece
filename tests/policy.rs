//! The compiled contract and the table of RPCs, walked together.
//!
//! An RPC can be neither forgotten nor half-added: each method of `proto/` has exactly one row, and
//! what the row allows agrees with what the proto promises.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor, Value};
use qiwi_gateway::operations::{self, Row};
use qiwi_gateway::policy::{Access, Class, Host, Shape, Verb};

use crate::support::samples;

/// `idempotency_level = NO_SIDE_EFFECTS`.
const NO_SIDE_EFFECTS: i32 = 1;
/// `idempotency_level = IDEMPOTENT`.
const IDEMPOTENT: i32 = 2;

/// Decoded once: that takes as long as a short test, and some ask thousands of times.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(qiwi_gateway::pb::FILE_DESCRIPTOR_SET).expect("descriptors decode")
});

/// The compiled contract.
pub fn pool() -> DescriptorPool {
    POOL.clone()
}

/// Every method of our own services, by full name with a slash.
fn methods() -> BTreeMap<String, MethodDescriptor> {
    let pool = pool();
    let services = pool.services().filter(|service| service.full_name().starts_with("qiwi."));
    services
        .flat_map(|service| {
            let service_name = service.full_name().to_owned();
            let methods = service.methods().collect::<Vec<_>>().into_iter();
            methods.map(move |method| (format!("{service_name}/{}", method.name()), method))
        })
        .collect()
}

fn promises_no_side_effects(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.idempotency_level == Some(NO_SIDE_EFFECTS))
}

fn promises_idempotency(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.idempotency_level == Some(IDEMPOTENT))
}

fn rows() -> BTreeMap<&'static str, &'static Row> {
    operations::all().iter().map(|row| (row.policy.rpc, row)).collect()
}

#[test]
fn every_method_has_exactly_one_row() {
    let rows = rows();
    assert_eq!(rows.len(), operations::all().len(), "a method has two rows");
    let methods = methods();
    assert!(methods.len() >= 25, "{}", methods.len());
    let missing: Vec<_> = methods.keys().filter(|name| !rows.contains_key(name.as_str())).collect();
    let unknown: Vec<_> = rows.keys().filter(|name| !methods.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "rows without a method: {unknown:#?}");
    assert!(missing.is_empty(), "{} methods without a row: {missing:#?}", missing.len());
}

#[test]
fn every_row_is_found_by_its_path_and_nothing_else_is() {
    for row in operations::all() {
        let path = format!("/{}", row.policy.rpc);
        let found = operations::find(&path).expect(&path);
        assert_eq!(found.policy.rpc, row.policy.rpc);
        assert_eq!(format!("{}/{}", row.service(), row.name()), row.policy.rpc);
        for wrong in [
            row.policy.rpc.to_owned(),
            format!("{path}/"),
            format!("{path}?x"),
            path.to_lowercase(),
        ] {
            assert!(operations::find(&wrong).is_none(), "{wrong}");
        }
    }
    assert!(operations::find("").is_none() && operations::find("/").is_none());
}

#[test]
fn operation_names_of_the_catalogue_are_unique() {
    let mut seen = BTreeMap::new();
    for row in operations::all() {
        let operation = row.policy.operation;
        let first = seen.insert(operation, row.policy.rpc);
        assert_eq!(first, None, "{operation} twice");
        assert!(
            operation.starts_with("W-")
                || operation.starts_with("P-")
                || row.policy.route.is_none(),
            "{} is answered by QIWI and has no number of the catalogue: {operation}",
            row.policy.rpc
        );
    }
}

#[test]
fn a_method_streams_exactly_when_its_row_says_so() {
    for (name, method) in methods() {
        let Some(row) = rows().get(name.as_str()).copied() else { continue };
        let streams = row.policy.shape != Shape::Unary;
        assert_eq!(method.is_server_streaming(), streams, "{name}");
        assert_eq!(method.is_client_streaming(), row.policy.shape == Shape::Bidi, "{name}");
    }
}

#[test]
fn only_what_has_no_side_effects_is_repeated_or_kept() {
    for (name, method) in methods() {
        let Some(row) = rows().get(name.as_str()).copied() else { continue };
        let read = row.policy.class == Class::Read;
        assert_eq!(read, promises_no_side_effects(&method), "{name}: class and idempotency_level");
        // What moves money is idempotent by its id, and is never repeated all the same.
        let harmless = matches!(row.policy.class, Class::Write | Class::Money);
        assert_eq!(harmless, promises_idempotency(&method), "{name}: class and idempotency_level");
        assert!(read || !row.policy.cache.is_cached(), "{name} is kept but not a read");
        for forgotten in row.policy.forgets {
            // A read of the ledger may learn that money has moved.
            let changes = !read || row.policy.route.is_none();
            assert!(changes && forgotten.cache.is_cached(), "{name} forgets {}", forgotten.rpc);
        }
        let verb = row.policy.route.as_ref().map(|route| route.verb);
        // Two reads of QIWI are asked with a body: the quote and the card router.
        assert!(
            !read || matches!(verb, None | Some(Verb::Get | Verb::Post)),
            "{name} is a read by {verb:?}"
        );
    }
}

#[test]
fn what_depends_on_a_credential_needs_one() {
    for row in operations::all() {
        let policy = row.policy;
        let names_wallet =
            policy.route.as_ref().is_some_and(|route| route.path.contains("{wallet}"));
        assert!(
            !names_wallet || policy.access.needs_credential(),
            "{} is about a wallet and open to all",
            policy.rpc
        );
        if matches!(policy.access, Access::Admin) {
            assert!(policy.route.is_none(), "{} is about the gateway itself", policy.rpc);
        }
    }
}

#[test]
fn secrets_are_never_kept() {
    let pool = pool();
    let option = pool.get_extension_by_name("qiwi.options.v1.sensitivity").expect("the option");
    for (name, method) in methods() {
        let Some(row) = rows().get(name.as_str()).copied() else { continue };
        let secret = |message: prost_reflect::MessageDescriptor| {
            message
                .fields()
                .any(|field| *field.options().get_extension(&option) == Value::EnumNumber(4))
        };
        let holds_secret = secret(method.input()) || secret(method.output());
        assert!(!holds_secret || !row.policy.cache.is_cached(), "{name} keeps secrets");
    }
}

#[test]
fn paths_are_absolute_and_have_no_open_ends() {
    for row in operations::all() {
        let Some(route) = &row.policy.route else { continue };
        let path = route.path;
        if route.host == Host::Direct {
            // Its one address is the base URL itself.
            assert_eq!(path, "", "{}", row.policy.rpc);
            continue;
        }
        assert!(path.starts_with('/') && path != "/", "{}: {path}", row.policy.rpc);
        assert!(!path.contains("//") && !path.contains(' '), "{}: {path}", row.policy.rpc);
        assert_eq!(path.matches('{').count(), path.matches('}').count(), "{path}");
        assert!(!route.accept.is_empty(), "{path}");
    }
}

#[test]
fn every_field_of_the_contract_tells_how_sensitive_it_is() {
    let pool = pool();
    let option = pool.get_extension_by_name("qiwi.options.v1.sensitivity").expect("the option");
    let mut fields = 0;
    // The field that is a map tells it for its names and values.
    let ours = |of: &MessageDescriptor| of.full_name().starts_with("qiwi.") && !of.is_map_entry();
    for message in pool.all_messages().filter(ours) {
        for field in message.fields() {
            let level = field.options().get_extension(&option).into_owned();
            assert!(
                matches!(level, Value::EnumNumber(1..=4)),
                "{} says {level:?}; descriptors must keep the option for those who reflect",
                field.full_name()
            );
            fields += 1;
        }
    }
    assert!(fields > 200, "{fields}");
}

#[test]
fn no_field_of_the_contract_is_a_floating_point_number() {
    for message in pool().all_messages().filter(|of| of.full_name().starts_with("qiwi.")) {
        for field in message.fields() {
            let kind = field.kind();
            assert!(
                !matches!(kind, prost_reflect::Kind::Double | prost_reflect::Kind::Float),
                "{}",
                field.full_name()
            );
        }
    }
}

#[test]
fn every_method_has_a_sample_for_the_tests_about_all_methods() {
    let samples: Vec<_> = samples::all().into_iter().map(|sample| sample.rpc.to_owned()).collect();
    let methods: Vec<_> = methods().into_keys().collect();
    let missing: Vec<_> = methods.iter().filter(|name| !samples.contains(name)).collect();
    let unknown: Vec<_> = samples.iter().filter(|name| !methods.contains(name)).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}
