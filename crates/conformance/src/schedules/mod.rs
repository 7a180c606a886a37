//! The contract of schedule stores, by promise.

pub mod advance;
pub mod bad;
pub mod changes;
pub mod due;
pub mod edit;
pub mod history;
pub mod list;
pub mod merge;
mod support;

use std::sync::Arc;

use async_trait::async_trait;
use lovage_core::schedule::ScheduleStore;

/// A fresh, isolated store of the schedule.
#[async_trait]
pub trait ScheduleBed: Send + Sync {
    /// A handle of its own; all handles of a bed share the store.
    async fn store(&self) -> Arc<dyn ScheduleStore>;

    /// Makes the row of an entry one that cannot be read, as somebody does who writes to it behind the store's back.
    async fn spoil(&self, name: &str);
}

/// Makes one test for each case of the contract of schedule stores. Takes the path of an async function that makes a
/// `Box<dyn ScheduleBed>`.
#[macro_export]
macro_rules! schedule_suite {
    ($bed:path) => {
        /// What the modules below can name, wherever the caller's function is.
        async fn __schedule_bed() -> ::std::boxed::Box<dyn $crate::ScheduleBed> {
            $bed().await
        }

        $crate::__schedule_cases! {
            due {
                an_entry_is_due_at_its_first_slot
                due_looks_ahead
                the_next_instant_is_told
                the_most_overdue_come_first_up_to_the_limit
                what_is_disabled_is_not_due
                an_entry_comes_back_as_it_was
                the_stores_own_clock_is_used
                entries_done_ahead_of_the_clock_are_named
                identity_is_that_of_the_store
            }
            advance {
                an_advance_moves_on_and_counts
                of_two_beats_one_wins
                concurrent_advances_win_once
                an_edit_is_not_overwritten
                what_was_published_is_told_by_the_loser_too
                what_was_published_is_told_once
                a_lost_advance_leaves_the_rest_of_its_batch
                a_deleted_entry_is_lost
                an_entry_that_runs_once_ends
                an_entry_without_another_slot_is_not_due
                an_error_is_noted_and_cleared
                a_run_by_hand_is_told_and_moves_nothing
                full_batches_are_taken
                empty_batches_do_nothing
                rewound_entry_is_due_again_and_knows_what_fired
                rewind_of_another_beat_wins_once
                slots_passed_over_again_are_told_with_the_later_end
            }
            edit {
                a_name_is_taken_once
                an_edit_expects_a_revision
                of_concurrent_edits_one_wins
                what_beats_write_is_no_edit
                an_edit_of_the_times_makes_nothing_overdue
                an_edit_of_anything_else_keeps_what_is_overdue
                an_edit_keeps_what_beats_wrote
                enabling_passes_over_what_was_missed
                enabling_keeps_what_the_policy_wants
                what_is_not_there_is_not_enabled
                a_bad_entry_is_refused
                an_entry_that_can_never_run_is_refused
                deleted_entries_are_gone
            }
            merge {
                declared_entries_are_added_and_changed
                a_second_merge_does_nothing
                an_edited_entry_is_left_alone_until_it_is_reset
                what_is_gone_is_disabled_and_marked
                what_comes_back_is_enabled_again
                another_sources_entries_are_left_alone
                what_a_person_made_is_left_alone
                a_bad_declaration_changes_nothing
                what_nobody_declares_is_not_reset
                concurrent_merges_agree
            }
            bad {
                a_bad_row_disables_itself_and_stops_no_other
                a_bad_row_is_listed_with_its_reason
                a_bad_row_is_repaired_by_an_edit
                a_bad_row_is_repaired_by_a_reset
                a_bad_row_is_not_enabled
            }
            changes {
                every_change_is_told_to_another_handle
                a_handle_hears_of_its_own_change
                a_change_before_the_call_is_told
                what_beats_write_is_not_told
            }
            list {
                names_are_answered_in_order_with_gaps
                lists_are_by_name_in_pages
                lists_are_filtered
                a_prefix_is_only_text
            }
            history {
                history_is_paged_the_newest_first
                history_has_a_range
                history_is_of_one_entry
                every_fate_survives
                old_firings_are_forgotten_in_chunks
                a_nonsense_page_is_an_error
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __schedule_cases {
    ($($promise:ident { $($case:ident)* })*) => {
        $(mod $promise {
            $(
                #[test]
                fn $case() {
                    $crate::run(async {
                        let bed = super::__schedule_bed().await;
                        $crate::schedules::$promise::$case(&*bed).await;
                    });
                }
            )*
        })*
    };
}
