//! Placeholder until the webhook lifecycle is merged.

use std::sync::Arc;

use crate::credentials::Credential;
use crate::gateway::Gateway;

impl Gateway {
    pub(crate) async fn refresh_hook(&self, _: &Arc<Credential>) -> bool {
        false
    }
}
