//! The gateway's own services: `proto/qiwi/admin/v1/credential.proto`.
//!
//! They tell how the credentials are, never what they are, and ask nothing of QIWI.

use prost_types::Timestamp;

use crate::config::Webhook;
use crate::credentials::{self, Caller, Kind, Scopes, Status};
use crate::error::{Error, reason};
use crate::events::hooks::State;
use crate::operation::{Known, Local};
use crate::pb::admin::v1 as pb;
use crate::policy::{Access, Class, Lifetime, Policy, Shape};

/// One credential.
pub static GET_CREDENTIAL: Policy = Policy {
    rpc: "qiwi.admin.v1.CredentialService/GetCredential",
    operation: "G-CRD-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Admin,
    route: None,
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

/// All credentials.
pub static LIST_CREDENTIALS: Policy = Policy {
    rpc: "qiwi.admin.v1.CredentialService/ListCredentials",
    operation: "G-CRD-2",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Admin,
    route: None,
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

impl Local for pb::GetCredentialRequest {
    const POLICY: &'static Policy = &GET_CREDENTIAL;
    type Response = pb::GetCredentialResponse;

    fn answer(&self, known: &Known<'_>) -> Result<Self::Response, Error> {
        if self.name.is_empty() {
            return Err(Error::invalid("name", "Give the name of a configured credential."));
        }
        // Before any look-up, so that the refusal does not tell which names exist.
        if !may_see(known.caller, &self.name) {
            return Err(Error::new(&reason::CALLER_NOT_ALLOWED)
                .log("the caller may not use the credential it asks about"));
        }
        let credential = known.credentials.named(&self.name).ok_or_else(|| {
            Error::new(&reason::CREDENTIAL_NOT_FOUND).resource("credential", self.name.clone())
        })?;
        Ok(pb::GetCredentialResponse { credential: Some(told(known, &self.name, &credential)) })
    }
}

impl Local for pb::ListCredentialsRequest {
    const POLICY: &'static Policy = &LIST_CREDENTIALS;
    type Response = pb::ListCredentialsResponse;

    fn answer(&self, known: &Known<'_>) -> Result<Self::Response, Error> {
        // The store lists them by name.
        let listed = known.credentials.list();
        let credentials = listed.iter().filter_map(|credential| {
            let name = credential.name.as_deref()?;
            may_see(known.caller, name).then(|| told(known, name, credential))
        });
        Ok(pb::ListCredentialsResponse { credentials: credentials.collect() })
    }
}

/// Without a callers' policy there is no caller, and everybody may see everything.
fn may_see(caller: Option<&Caller>, credential: &str) -> bool {
    caller.is_none_or(|caller| caller.may_use(credential))
}

fn told(known: &Known<'_>, name: &str, credential: &credentials::Credential) -> pb::Credential {
    let state = known.credentials.state(name);
    let stale = state.as_ref().is_some_and(|state| state.stale_since.is_some());
    let status = state.as_ref().map_or_else(|| credential.status(), |state| state.status);
    pb::Credential {
        name: name.to_owned(),
        kind: credential.kind.map_or(pb::CredentialKind::Unspecified, kind).into(),
        scopes: credential.scopes.map(scopes).unwrap_or_default(),
        wallet: wallet(known, credential),
        merchant_site: credential.merchant_site.as_deref().map(str::to_owned),
        expected_expire_time: credential.expires().map(Timestamp::from),
        state: self::state(status, stale).into(),
        last_accepted_time: state
            .as_ref()
            .and_then(|state| state.last_accepted)
            .map(Timestamp::from),
        last_rejected_time: state
            .as_ref()
            .and_then(|state| state.last_rejected)
            .map(Timestamp::from),
        source_load_time: Some(credential.loaded.into()),
        // Printed as in the logs: eight characters.
        token_fingerprint: Some(credential.fingerprint.to_string()),
        webhook: (credential.kind == Some(Kind::Wallet)).then(|| webhook(known, name, credential)),
    }
}

fn webhook(
    known: &Known<'_>,
    name: &str,
    credential: &credentials::Credential,
) -> pb::CredentialWebhook {
    use pb::CredentialWebhookState as Told;
    let shown = known.hooks.shown(name);
    let state = match (credential.hook().webhook, shown.map(|shown| shown.state)) {
        (Webhook::Off, _) => Told::Off,
        (Webhook::Static, _) => Told::Static,
        (Webhook::Managed, None) => Told::Pending,
        (Webhook::Managed, Some(State::Registered)) => Told::Registered,
        (Webhook::Managed, Some(State::Foreign)) => Told::Foreign,
        (Webhook::Managed, Some(State::Failing(_))) => Told::Failing,
    };
    let failure_reason = match shown.map(|shown| shown.state) {
        Some(State::Failing(reason)) => Some(reason.to_owned()),
        _ => None,
    };
    pb::CredentialWebhook {
        state: state.into(),
        state_change_time: shown.map(|shown| shown.since.into()),
        last_check_time: shown.map(|shown| shown.checked.into()),
        failure_reason,
        webhook_id: known.hooks.current(name).map(|id| id.to_string()),
        last_notification_time: known.hooks.last_heard(name).map(Timestamp::from),
    }
}

/// The configured wallet, else the one QIWI told for this token.
fn wallet(known: &Known<'_>, credential: &credentials::Credential) -> Option<String> {
    let learned = || known.wallets.get(&credential.fingerprint);
    credential.wallet.clone().or_else(learned).map(|wallet| wallet.digits().to_owned())
}

fn kind(kind: Kind) -> pb::CredentialKind {
    match kind {
        Kind::Wallet => pb::CredentialKind::Wallet,
        Kind::Information => pb::CredentialKind::Information,
        Kind::P2p => pb::CredentialKind::P2p,
        Kind::Merchant => pb::CredentialKind::Merchant,
    }
}

fn scopes(granted: Scopes) -> Vec<i32> {
    const NAMED: [(Scopes, pb::CredentialScope); 5] = [
        (Scopes::PROFILE, pb::CredentialScope::Profile),
        (Scopes::BALANCE, pb::CredentialScope::Balance),
        (Scopes::HISTORY, pb::CredentialScope::History),
        (Scopes::PAYMENTS, pb::CredentialScope::Payments),
        (Scopes::CARDS, pb::CredentialScope::Cards),
    ];
    let granted = NAMED.iter().filter(|(scope, _)| granted.contains(*scope));
    granted.map(|(_, scope)| i32::from(*scope)).collect()
}

/// A rejection is told first: whoever reads this wants to know whether the credential works.
fn state(status: Status, stale: bool) -> pb::CredentialState {
    match (status, stale) {
        (Status::Rejected, _) => pb::CredentialState::Rejected,
        (Status::Untried | Status::Accepted, true) => pb::CredentialState::Stale,
        (Status::Accepted, false) => pb::CredentialState::Active,
        (Status::Untried, false) => pb::CredentialState::Untried,
    }
}

#[cfg(test)]
mod tests;
