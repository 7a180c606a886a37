//! Links that log in once.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use lovage_core::Entropy;

use super::{Digest, Secret, digest};

/// Links that wait to be used; beyond that the oldest no longer works.
const WAITING: usize = 16;

/// Makes links that log in once, as operator. For a terminal on the machine itself: whoever reads the link can use it.
#[derive(Clone, Debug)]
pub struct LoginLinks {
    entropy: Arc<dyn Entropy>,
    base: String,
    waiting: Arc<Mutex<VecDeque<Digest>>>,
}

impl LoginLinks {
    pub(crate) fn new(entropy: Arc<dyn Entropy>, base: String) -> Self {
        Self { entropy, base, waiting: Arc::default() }
    }

    /// A new link to a dashboard that listens at `address`. It works once, and until 16 newer ones were made.
    #[must_use]
    pub fn link(&self, address: SocketAddr) -> String {
        let secret = Secret::new(&*self.entropy);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(secret.digest());
        if waiting.len() > WAITING {
            waiting.pop_front();
        }
        let host = match address.ip() {
            ip if ip.is_unspecified() => SocketAddr::from((IpAddr::from([127, 0, 0, 1]), address.port())),
            _ => address,
        };
        format!("http://{host}{}/login?token={}", self.base, secret.reveal())
    }

    /// Whether `token` is that of a link, which no longer works from now on.
    pub(crate) fn redeem(&self, token: &str) -> bool {
        let digest = digest(token);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let place = waiting.iter().position(|kept| *kept == digest);
        place.and_then(|place| waiting.remove(place)).is_some()
    }
}
