//! The ready messages of a queue: those that no worker has sorted yet, and those that are kept for a slot kind.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use lovage_core::{SlotKind, SlotWants, TaskId};

/// Suspects (0) before the others (1), then the highest priority, then kept messages (0) before unsorted ones (1), then the
/// order of becoming ready. A message at the head has a number below all others.
pub(super) type ReadyKey = (u8, Reverse<u8>, u8, i64);

/// The lowest key of a message that is no suspect.
const FIRST_OTHER: ReadyKey = (1, Reverse(u8::MAX), 0, i64::MIN);

#[derive(Debug, Default)]
pub(super) struct Ready {
    unsorted: BTreeMap<ReadyKey, TaskId>,
    kept: [BTreeMap<ReadyKey, TaskId>; SlotKind::COUNT],
}

impl Ready {
    fn list(&mut self, kind: Option<SlotKind>) -> &mut BTreeMap<ReadyKey, TaskId> {
        kind.map_or(&mut self.unsorted, |kind| &mut self.kept[kind.index()])
    }

    fn lists(&self) -> impl Iterator<Item = &BTreeMap<ReadyKey, TaskId>> {
        std::iter::once(&self.unsorted).chain(&self.kept)
    }

    pub(super) fn insert(&mut self, kind: Option<SlotKind>, key: ReadyKey, id: TaskId) {
        self.list(kind).insert(key, id);
    }

    pub(super) fn remove(&mut self, kind: Option<SlotKind>, key: &ReadyKey) {
        self.list(kind).remove(key);
    }

    pub(super) fn len(&self) -> usize {
        self.lists().map(BTreeMap::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lists().all(BTreeMap::is_empty)
    }

    /// Whether a reservation that wants these kinds (bits of [`SlotWants::kinds`]) could take a message.
    pub(super) fn has_for(&self, kinds: u8) -> bool {
        let wanted = |kind: &SlotKind| kinds & 1 << kind.index() != 0;
        kinds != 0 && !self.unsorted.is_empty()
            || SlotKind::ALL.into_iter().filter(wanted).any(|kind| !self.kept[kind.index()].is_empty())
    }

    /// The kinds (bits of [`SlotWants::kinds`]) for which messages are kept that are no suspects.
    pub(super) fn kept_kinds(&self) -> u8 {
        let has = |kind: &SlotKind| self.kept[kind.index()].range(FIRST_OTHER..).next().is_some();
        SlotKind::ALL.into_iter().filter(has).map(|kind| 1 << kind.index()).sum()
    }

    /// The message at the head.
    pub(super) fn first(&self) -> Option<TaskId> {
        self.lists().filter_map(BTreeMap::first_key_value).min().map(|(_, id)| *id)
    }

    /// All messages in order.
    pub(super) fn in_order(&self) -> Vec<(ReadyKey, TaskId)> {
        let mut all: Vec<_> = self.lists().flatten().map(|(key, id)| (*key, *id)).collect();
        all.sort_unstable();
        all
    }

    /// The number of messages that are handed out before this one, to reservations that want its kind.
    pub(super) fn count_before(&self, kind: Option<SlotKind>, key: ReadyKey) -> usize {
        let before = |list: &BTreeMap<ReadyKey, TaskId>| list.range(..key).count();
        match kind {
            Some(kind) => before(&self.unsorted) + before(&self.kept[kind.index()]),
            None => self.lists().map(before).sum(),
        }
    }

    /// Takes up to `most` messages in order, of each kind at most as many as are wanted; one suspect at most, and only if
    /// `suspects`.
    pub(super) fn take(
        &mut self,
        want: SlotWants,
        most: usize,
        suspects: bool,
    ) -> Vec<(Option<SlotKind>, TaskId)> {
        let mut left = want;
        let mut suspects = usize::from(suspects);
        let mut taken = Vec::new();
        while taken.len() < most.min(want.total) {
            let wanted = |kind: &Option<SlotKind>| kind.is_none_or(|kind| left.get(kind) > 0);
            let heads = std::iter::once(None).chain(SlotKind::ALL.map(Some)).filter(wanted);
            let head = |kind: Option<SlotKind>| {
                let list = kind.map_or(&self.unsorted, |kind| &self.kept[kind.index()]);
                let suspect = list.range(..FIRST_OTHER).next().filter(|_| suspects > 0);
                suspect.or_else(|| list.range(FIRST_OTHER..).next()).map(|(key, id)| (*key, kind, *id))
            };
            let Some((key, kind, id)) = heads.filter_map(head).min_by_key(|(key, ..)| *key) else { break };
            suspects -= usize::from(key.0 == 0);
            if let Some(kind) = kind {
                *left.get_mut(kind) -= 1;
            }
            self.remove(kind, &key);
            taken.push((kind, id));
        }
        taken
    }
}
