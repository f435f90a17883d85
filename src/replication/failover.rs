//! FAILOVER: a master and one of its replicas change places.

use super::Replication;
use crate::command::Ctx;
use crate::command::error::{Error, Outcome};

/// A failover that is under way.
#[derive(Debug)]
pub struct Failover {}

impl Replication {
    /// How INFO calls the state of a failover.
    pub fn failover_word(&self) -> &'static str {
        "no-failover"
    }
}

/// A replica's master asks it to take its place.
///
/// # Errors
/// If it cannot be.
pub fn take_over(cx: &mut Ctx<'_>, _id: &str) -> Outcome {
    if !cx.server.replication.is_replica() {
        return Err(Error::fixed("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    Err(Error::fixed("ERR PSYNC FAILOVER replid must match my replid."))
}
