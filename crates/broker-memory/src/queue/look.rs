//! Looking into a queue: nothing here changes anything.

use lovage_core::{BackendError, Depth, Page, Paged, Place, StoredMessage, TaskId, Timestamp};

use super::{Queue, ReadyKey, Spot, TimeKey};
use crate::page::{bad_page, paged, read_key, write_key};

impl Queue {
    pub(crate) fn find(&self, id: TaskId) -> Option<StoredMessage> {
        let stored = self.messages.get(&id)?;
        let (place, at, reason) = match stored.spot {
            Spot::Ready(_) => (Place::Ready, None, None),
            Spot::Delayed((due, _)) => (Place::Delayed, Some(due), None),
            Spot::Leased(token) => {
                let ends = self.reservations.get(&token).map(|reservation| reservation.ends.0);
                (Place::Leased, ends, None)
            }
            Spot::Dead((since, _), reason) => (Place::Dead, Some(since), Some(reason)),
        };
        Some(StoredMessage {
            id,
            queue: self.name.clone(),
            priority: stored.message.priority,
            place,
            body: stored.message.body.clone(),
            run: stored.run,
            delivery: stored.delivery,
            attempt: stored.attempt,
            losses: stored.losses,
            published_at: stored.published_at,
            at,
            revoked: stored.revoked,
            replaced_by: stored.replaced_by,
            unique_key: self.held_key(id).map(str::to_owned),
            reason,
            notes: stored.notes.clone(),
        })
    }

    pub(crate) fn peek(&self, place: Place, page: &Page) -> Result<Paged<StoredMessage>, BackendError> {
        let find = |(key, id): (String, TaskId)| self.find(id).map(|found| (key, found));
        let by_time = |key: &TimeKey| write_key(&[key.0.as_micros(), key.1]);
        match place {
            Place::Ready => {
                let after = read_key::<4>(page)?;
                let key = |key: &ReadyKey| [i64::from(key.0), -i64::from(key.1.0), i64::from(key.2), key.3];
                let items = self.ready.in_order().into_iter();
                let items = items.filter(|(k, _)| after.is_none_or(|after| key(k) > after));
                Ok(paged(items.map(|(k, id)| (write_key(&key(&k)), id)).filter_map(find), page.limit))
            }
            Place::Delayed => {
                let after = read_key::<2>(page)?.map(|[micros, n]| (Timestamp::from_micros(micros), n));
                let items = self.delayed.iter().filter(|(k, _)| after.is_none_or(|after| **k > after));
                Ok(paged(items.map(|(k, id)| (by_time(k), *id)).filter_map(find), page.limit))
            }
            Place::Dead => {
                let after = read_key::<2>(page)?.map(|[micros, n]| (Timestamp::from_micros(micros), n));
                let items = self.dead.iter().rev().filter(|(k, _)| after.is_none_or(|after| **k < after));
                Ok(paged(items.map(|(k, id)| (by_time(k), *id)).filter_map(find), page.limit))
            }
            Place::Leased => {
                let after: Option<TaskId> = match &page.after {
                    None => None,
                    Some(text) => Some(text.parse().map_err(|_| bad_page(text))?),
                };
                let leased = self.messages.iter().filter(|(_, s)| matches!(s.spot, Spot::Leased(_)));
                let items = leased.filter(|(id, _)| after.is_none_or(|after| **id > after));
                Ok(paged(items.map(|(id, _)| (id.to_string(), *id)).filter_map(find), page.limit))
            }
        }
    }

    /// How many are handed out before it, if it is ready.
    pub(crate) fn ahead(&self, id: TaskId) -> Option<u64> {
        let stored = self.messages.get(&id)?;
        let Spot::Ready(key) = stored.spot else { return None };
        u64::try_from(self.ready.count_before(stored.kind, key)).ok()
    }

    fn held_key(&self, id: TaskId) -> Option<&str> {
        let key = &self.messages.get(&id)?.message.unique.as_ref()?.key;
        self.unique.get(key).filter(|claim| claim.holder == id).map(|_| key.as_str())
    }

    pub(crate) fn depth(&self) -> Depth {
        let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        let leased = self.messages.len() - self.ready.len() - self.delayed.len() - self.dead.len();
        let head = self.ready.first().and_then(|id| self.messages.get(&id));
        Depth {
            ready: count(self.ready.len()),
            delayed: count(self.delayed.len()),
            leased: count(leased),
            dead: count(self.dead.len()),
            paused: self.paused,
            limit: self.limit.as_ref().map(|bucket| bucket.limit),
            oldest_ready: head.map(|stored| stored.published_at),
        }
    }
}
