//! Operations from the first call to their end.

use super::shop::*;

#[tokio::test]
async fn a_purchase_in_one_step_is_paid_once() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    done(&channel, &Order::sale("a", 100)).await;
    assert_eq!(Order::sale("a", 100).facts(&sandbox).good, 1);
}
