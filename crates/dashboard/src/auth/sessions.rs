//! Sessions of browsers, in memory: whoever restarts the dashboard logs everybody out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::Entropy;

use super::{Digest, Role, Secret};

/// A session that nobody used for this long ends.
const IDLE: Duration = Duration::from_secs(8 * 3_600);
/// A session ends after this time, used or not.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
/// Sessions at the same time; beyond that the one that was not used for longest ends.
const MOST: usize = 10_000;
/// Messages that wait to be shown in one session.
const FLASHES: usize = 8;

/// The sessions. Only digests of their ids are kept.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<HashMap<Digest, Session>>,
}

/// What a session knows.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Of the password that opened it: another password ends it.
    pub(crate) proof: Option<Digest>,
    pub(crate) csrf: String,
    opened: Duration,
    used: Duration,
    flashes: Vec<Flash>,
}

/// Who opens a session.
#[derive(Clone, Debug)]
pub(crate) struct NewSession {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) proof: Option<Digest>,
}

/// A sentence for the next page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Flash {
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    Good,
    Bad,
}

impl Sessions {
    /// Opens a session at `now` (monotonic) under a new id, always: an id that somebody planted in a browser is worth
    /// nothing. Answers the id, for the cookie.
    pub(crate) fn open(&self, now: Duration, entropy: &dyn Entropy, new: NewSession) -> Secret {
        let id = Secret::new(entropy);
        let session = Session {
            name: new.name,
            role: new.role,
            proof: new.proof,
            csrf: Secret::new(entropy).reveal().to_owned(),
            opened: now,
            used: now,
            flashes: Vec::new(),
        };
        let mut open = self.lock();
        if open.len() >= MOST {
            make_room(&mut open, now);
        }
        open.insert(id.digest(), session);
        id
    }

    /// The session of an id, which is used by that.
    pub(crate) fn visit(&self, now: Duration, id: &Digest) -> Option<Session> {
        let mut open = self.lock();
        let session = open.get_mut(id)?;
        if session.has_ended(now) {
            open.remove(id);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// The session of an id, which is only looked at: a page that stays open keeps no session alive.
    pub(crate) fn look(&self, now: Duration, id: &Digest) -> Option<Session> {
        self.lock().get(id).filter(|session| !session.has_ended(now)).cloned()
    }

    pub(crate) fn close(&self, id: &Digest) {
        self.lock().remove(id);
    }

    /// Keeps a sentence for the next page of a session.
    pub(crate) fn say(&self, id: &Digest, flash: Flash) {
        if let Some(session) = self.lock().get_mut(id)
            && session.flashes.len() < FLASHES
        {
            session.flashes.push(flash);
        }
    }

    /// What is to be shown, once.
    pub(crate) fn take_flashes(&self, id: &Digest) -> Vec<Flash> {
        self.lock().get_mut(id).map(|session| std::mem::take(&mut session.flashes)).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn has_ended(&self, now: Duration) -> bool {
        now.saturating_sub(self.used) >= IDLE || now.saturating_sub(self.opened) >= LONGEST
    }
}

fn make_room(open: &mut HashMap<Digest, Session>, now: Duration) {
    open.retain(|_, session| !session.has_ended(now));
    if open.len() < MOST {
        return;
    }
    if let Some(oldest) = open.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| *id) {
        open.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use lovage_testkit::SeededEntropy;

    use super::*;

    fn ann() -> NewSession {
        NewSession { name: "ann".into(), role: Role::Viewer, proof: None }
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_a_look_is_no_use() {
        let (sessions, entropy) = (Sessions::default(), SeededEntropy::new(1));
        let id = sessions.open(Duration::ZERO, &entropy, ann()).digest();
        let almost = IDLE - Duration::from_secs(1);
        assert!(sessions.visit(almost, &id).is_some());
        assert!(sessions.look(almost + almost, &id).is_some());
        assert!(sessions.look(almost + IDLE, &id).is_none());
        assert!(sessions.visit(almost + IDLE, &id).is_none());
    }

    #[test]
    fn a_session_that_is_used_all_the_time_ends_too() {
        let (sessions, entropy) = (Sessions::default(), SeededEntropy::new(1));
        let id = sessions.open(Duration::ZERO, &entropy, ann()).digest();
        let mut now = Duration::ZERO;
        while now < LONGEST {
            assert!(sessions.visit(now, &id).is_some());
            now += IDLE / 2;
        }
        assert!(sessions.visit(now, &id).is_none());
    }

    #[test]
    fn memory_is_bounded_and_the_least_used_goes_first() {
        let (sessions, entropy) = (Sessions::default(), SeededEntropy::new(1));
        let first = sessions.open(Duration::ZERO, &entropy, ann()).digest();
        let second = sessions.open(Duration::ZERO, &entropy, ann()).digest();
        assert!(sessions.visit(Duration::from_secs(1), &first).is_some());
        for _ in 2..=MOST {
            sessions.open(Duration::from_secs(2), &entropy, ann());
        }
        assert_eq!(sessions.lock().len(), MOST);
        assert!(sessions.visit(Duration::from_secs(2), &first).is_some());
        assert!(sessions.visit(Duration::from_secs(2), &second).is_none());
    }
}
