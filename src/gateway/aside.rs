//! Questions beside a call's own, and what an answer left out.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Gateway;
use crate::call::Context;
use crate::credentials::Wallet;
use crate::error::Error;
use crate::operation::{Asking, Operation};
use crate::policy::Route;

/// Most calls that may repair one answer.
const REPAIRS_MAX: usize = 8;

impl Gateway {
    /// One call outside the method's own, for what a method needs to know before it can ask.
    pub(crate) async fn aside<O: Operation>(
        &self,
        cx: &Context,
        route: &'static Route,
        request: &O,
        wallet: Option<&Wallet>,
    ) -> Result<O::Response, Error> {
        let asking = Asking { wallet, merchant: super::merchant(cx), pages: self.pages() };
        let question = request.ask(&asking)?;
        let class = O::POLICY.class;
        let body = self.ask(cx, route, class, &question, wallet, cx.deadline).await?;
        self.map(cx, route, request, wallet, &body).await
    }

    /// As [`Gateway::aside`], with what the answer left out asked for again.
    pub(crate) async fn aside_whole<O: Operation>(
        &self,
        cx: &Context,
        route: &'static Route,
        request: &O,
        wallet: Option<&Wallet>,
    ) -> Result<O::Response, Error> {
        let mut response = self.aside(cx, route, request, wallet).await?;
        self.repair(cx, route, request, wallet, &mut response, cx.deadline).await;
        Ok(response)
    }

    /// Asks again for what an answer left out.
    pub(super) async fn repair<O: Operation>(
        &self,
        cx: &Context,
        route: &'static Route,
        request: &O,
        wallet: Option<&Wallet>,
        response: &mut O::Response,
        deadline: Instant,
    ) {
        let missing = request.missing(response);
        let asked = missing.iter().take(REPAIRS_MAX);
        let asked = asked.map(|call| self.ask(cx, route, O::POLICY.class, call, wallet, deadline));
        for body in join_all(asked).await.into_iter().flatten() {
            // A repair that fails leaves the gap, which the reply can express.
            if let Ok(part) = self.map(cx, route, request, wallet, &body).await {
                request.fill(response, part);
            }
        }
    }
}
