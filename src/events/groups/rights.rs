//! Who may look after which group, and whose groups may be made.

use crate::call::Context;
use crate::error::{Error, reason};
use crate::events::consume::terms::Terms;
use crate::events::visible::Sight;
use crate::gateway::Gateway;
use crate::pb::events::v1 as pb;
use crate::policy::Access;

impl Gateway {
    /// Whether the caller of a method might see the events of a group itself.
    pub(super) fn may_look_after(&self, cx: &Context, terms: &Terms) -> bool {
        let Some(caller) = &cx.caller else { return true };
        if caller.may_use_all() {
            return true;
        }
        if terms.wallet.is_some() {
            return terms.caller.as_deref() == Some(&*caller.name);
        }
        match &terms.credential {
            Some(credential) => caller.may_use(credential),
            // Without a credential members see what their caller may use.
            None => {
                let members = terms.caller.as_deref().and_then(|name| self.callers().named(name));
                members.is_some_and(|members| caller.may_use_those_of(&members))
            }
        }
    }

    /// Who the members of a new group are, and what they will see.
    pub(super) async fn members(
        &self,
        cx: &Context,
        request: &pb::CreateGroupRequest,
        agreed: pb::GroupTerms,
    ) -> Result<(Terms, Sight), Error> {
        let own = cx.caller.as_ref().map(|caller| caller.name.to_string());
        let caller = if request.caller.is_empty() { own } else { Some(request.caller.clone()) };
        let members = match &caller {
            None => None,
            Some(name) => {
                let named = self.callers().named(name).ok_or_else(|| {
                    Error::invalid("caller", "Name a configured caller, or leave it empty.")
                })?;
                Some(named)
            }
        };
        let wrong = |what: &'static str| Error::invalid("credential", what);
        let credential = match request.credential.as_str() {
            "" => None,
            name if members.as_ref().is_some_and(|members| !members.may_use(name)) => {
                return Err(wrong("Name a credential that the caller may use."));
            }
            name => {
                let named = self.credentials().named(name);
                let named = named.ok_or_else(|| wrong("Name a configured credential."))?;
                Access::Events
                    .permits(named.kind, named.scopes)
                    .map_err(|_| wrong("Name a credential that opens events."))?;
                Some(named)
            }
        };
        let terms = Terms {
            caller,
            credential: credential.as_ref().and_then(|of| of.name.as_deref().map(str::to_owned)),
            wallet: None,
            agreed,
        };
        if !self.may_look_after(cx, &terms) {
            let error = Error::new(&reason::CALLER_NOT_ALLOWED);
            return Err(error.log("members would see more than the caller may"));
        }
        let seeing = cx.as_caller(members, credential);
        let sight = self.sight(&seeing).await?;
        Ok((terms, sight))
    }
}
