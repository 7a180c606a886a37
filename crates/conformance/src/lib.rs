//! The one suite that every broker and store must pass.
//!
//! A backend's tests name a function that makes a bed, and get one test for each case:
//!
//! ```ignore
//! async fn bed() -> Box<dyn lovage_conformance::BrokerBed> { /* a fresh store */ }
//! lovage_conformance::broker_suite!(bed);
//! ```
//!
//! The tests are called by promise and behaviour, such as `lease::expired_lease_is_redelivered`. For several beds put
//! each suite into a module of its own: `mod sqlite { lovage_conformance::broker_suite!(super::sqlite_bed); }`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a case is a test: it fails by panicking, although it is not compiled as one here"
)]

pub mod audit;
pub mod broker;
mod documented;
pub mod results;
pub mod schedules;
pub mod stats;

pub use broker::BrokerBed;
pub use documented::documented;
pub use results::StoreBed;
pub use schedules::ScheduleBed;

/// Runs one case as `#[tokio::test(flavor = "multi_thread", worker_threads = 2)]` would, without the caller's tokio.
#[doc(hidden)]
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(case);
}

/// Makes one test for each case of the broker contract.
///
/// Takes the path of an async function without arguments that makes a `Box<dyn BrokerBed>`.
#[macro_export]
macro_rules! broker_suite {
    ($bed:path) => {
        /// What the modules below can name, wherever the caller's function is.
        async fn __broker_bed() -> ::std::boxed::Box<dyn $crate::BrokerBed> {
            $bed().await
        }

        $crate::__broker_cases! {
            delivery {
                accepted_message_is_delivered_as_published
                acknowledged_message_is_gone
                message_outlives_its_publisher_and_its_worker
                concurrent_reservations_never_share_a_message
                concurrent_publishes_are_all_kept
                large_body_comes_back_unchanged
                any_bytes_are_a_body
                empty_batches_do_nothing
                reservation_respects_its_maximum
                batch_may_go_to_several_queues
                full_batches_are_taken
            }
            lease {
                leased_message_is_handed_to_nobody_else
                expired_lease_is_redelivered
                stale_token_changes_nothing
                unknown_token_changes_nothing
                token_of_another_reservation_changes_nothing
                second_settlement_is_refused
                reservation_is_settled_in_parts
                mixed_settlements_are_answered_in_order
                only_the_newest_lease_counts
            }
            delay {
                delayed_message_is_handed_out_when_due
                reservation_finds_what_is_due
                instant_in_the_past_is_no_delay
                delayed_retry_is_not_early
                delayed_give_back_is_not_early
                maintenance_promotes_up_to_its_limit
                idle_handle_is_told_when_something_is_due
                far_future_is_kept
            }
            counters {
                retry_counts_an_attempt_and_keeps_its_note
                give_back_counts_no_attempt
                lost_lease_counts_no_attempt
                refusal_is_dated_once
                only_the_newest_notes_are_kept
                counters_survive_delays_and_losses
            }
            extend {
                renewed_lease_is_not_reclaimed
                every_reservation_of_a_renewal_is_kept
                renewed_lease_ends_when_renewals_end
                ended_reservations_are_answered_as_lost
                renewal_tells_of_cancelled_messages
                leases_are_renewed_from_a_runtime_of_their_own
                empty_renewal_does_nothing
            }
            verdict {
                time_to_live_counts_from_the_publish
                message_expires_at_its_instant
                delayed_message_may_be_expired_when_due
                message_expires_while_it_waits_for_a_retry
                expired_message_stays_until_it_is_settled
                cancelled_message_is_delivered_as_revoked
                unreadable_body_is_delivered_to_run
            }
            order {
                first_in_first_out
                higher_priority_is_first
                given_back_message_goes_to_the_head
                given_back_batch_keeps_its_order
                retried_message_goes_to_the_tail
                due_message_goes_to_the_tail
                due_messages_are_in_the_order_of_their_times
                priority_survives_retries_and_delays
            }
            duplicate {
                live_id_is_refused_in_every_place
                settled_id_may_be_used_again
                unique_key_is_held_until_the_end
                dead_letter_releases_its_unique_key
                purge_releases_unique_keys
                unique_key_ends_with_its_time_to_live
                former_holder_does_not_release_the_next_claim
                unique_key_is_of_one_queue
                duplicates_within_a_batch_are_refused
                concurrent_duplicates_are_accepted_once
            }
            unique {
                ready_holder_is_replaced
                free_key_is_claimed_by_a_replacement
                delayed_holder_is_replaced_at_once
                holder_that_waits_for_a_retry_is_replaced
                suspect_is_replaced
                replacements_form_a_chain
                leased_holder_is_not_replaced
                refused_replacement_changes_nothing
                holder_whose_claim_ended_is_not_replaced
                replaced_holder_does_not_release_the_key
                replacement_outlives_the_lease
                concurrent_replacements_leave_one
                replacement_wakes_an_idle_handle
                requeued_dead_letter_is_no_longer_replaced
                until_start_ends_at_the_hand_out
                until_start_outlasts_a_hand_out_that_is_no_start
                until_start_is_not_claimed_again
                until_start_may_end_earlier_by_time
                until_start_and_replace_go_together
                purge_releases_keys_held_until_the_start
                held_key_is_found
            }
            ahead {
                each_message_has_its_predecessors_ahead
                higher_priority_is_ahead
                given_back_message_is_ahead
                suspects_are_ahead
                only_ready_messages_are_in_the_order
            }
            find {
                message_is_found_in_every_place
                message_is_found_without_its_queue
                messages_are_found_together
                message_is_cancelled_in_every_place
                message_is_cancelled_without_its_queue
                cancellation_reaches_the_holder
                cancellation_outlives_the_lease
                cancellation_survives_a_lost_lease
                delayed_message_is_promoted
                every_place_is_read_in_pages
                nonsense_page_is_an_error
            }
            isolation {
                depth_adds_up
                purge_touches_one_place_of_one_queue
                purge_respects_its_limit
                leased_messages_are_not_purged
                pause_stops_one_queue
                pause_leaves_leased_and_delayed_messages_alone
                used_queues_are_listed
                odd_queue_names_are_only_names
            }
            hints {
                publish_wakes_an_idle_handle
                handle_is_woken_by_its_own_publish
                one_message_wakes_one_handle
                woken_handle_wakes_the_next
                resume_wakes_an_idle_handle
                hint_survives_a_wait_that_was_given_up
                promotion_wakes_an_idle_handle
                reclaim_wakes_an_idle_handle
                retry_and_cancel_wake_an_idle_handle
                earlier_due_time_wakes_an_idle_handle
            }
            rate {
                tokens_come_back_evenly
                limit_is_of_all_workers_together
                concurrent_reservations_share_the_tokens
                what_is_given_back_has_taken_its_token
                no_hint_before_there_is_a_token
                limit_is_changed_and_lifted
                lifting_a_limit_hints
                clock_set_back_keeps_the_rate
            }
            kinds {
                unstarted_message_is_as_it_was
                unstarted_message_loses_no_lease
                unstarted_message_is_for_its_kind_alone
                each_kind_has_its_own_maximum
                kept_messages_precede_unsorted_ones
                higher_priority_precedes_kept_messages
                kept_messages_keep_their_order
                return_of_a_kept_message_goes_to_its_place
                message_may_stay_unsorted
                other_outcomes_forget_the_kind
                kind_may_change
                sorting_ends
                kept_messages_are_ready_everywhere
                kept_messages_are_ahead
                kept_message_is_cancelled
                kept_message_expires
                kept_message_is_replaced
                kept_message_is_poisoned
                lost_lease_of_a_kept_message_is_reclaimed
                kept_suspect_is_for_its_kind_alone
                unstarted_message_gives_its_token_back
                returned_token_wakes_an_idle_handle
                kept_messages_share_the_rate_limit
                return_wakes_a_handle_of_its_kind
                return_wakes_no_handle_of_another_kind
                reservation_wakes_a_handle_of_another_kind
                reservation_that_finds_some_wakes_for_the_rest
                unsorted_message_wakes_any_handle
                reservation_of_nothing_passes_a_hint_on
                reservation_of_nothing_is_not_idle
                idle_handles_with_suspects_do_not_wake_each_other
                return_under_a_lost_lease_changes_nothing
                paused_queue_keeps_kept_messages
            }
            poison {
                first_lost_lease_makes_no_suspect
                suspect_is_first_and_only_for_who_asks
                suspect_waits_for_who_asks
                reservation_gets_one_suspect_at_most
                message_is_poisoned_after_enough_losses
                poisoned_message_stays_poisoned
                outcome_clears_the_suspicion
                give_back_keeps_the_suspicion
                neighbours_do_not_pay
            }
            absence {
                ended_lease_is_reclaimed_without_delay
                nothing_is_reclaimed_right_after_an_absence
                short_pause_is_no_absence
                absence_is_of_one_queue
                absence_does_not_delay_what_is_due
                reclaim_respects_its_limit
                reclaim_respects_its_limit_within_a_reservation
                concurrent_maintenance_reclaims_once
                clock_going_backwards_does_no_harm
                clock_set_back_does_not_stretch_the_wait
                clock_set_back_does_not_stretch_leases
                clock_ahead_for_a_moment_does_not_stretch_leases
                longer_lease_of_another_worker_is_kept
                unused_queue_is_maintained
            }
            many {
                reservations_of_many_queues_are_answered_in_order
                many_queues_hand_out_no_more_than_asked
                empty_queues_of_a_batch_register_as_idle
                maintenance_of_many_queues_reclaims_and_promotes
                maintenance_of_many_queues_guards_after_an_absence
                batches_of_overlapping_queues_share_no_message
                paused_and_limited_queues_hide_no_other
                maintenance_reports_what_a_queue_holds
            }
            fence {
                slot_that_is_not_newer_is_stale
                stale_message_is_not_stored
                slots_are_exact
                fence_is_of_one_name_and_queue
                slots_within_a_batch_are_fenced
                concurrent_publishers_of_a_slot_are_accepted_once
                slot_ahead_of_the_clock_is_early
                clock_set_back_lowers_the_fence
            }
            watch {
                ended_message_is_gone
                waiter_ends_with_the_acknowledgement
                waiter_ends_with_the_dead_letter
                waiter_outlasts_what_is_no_end
                several_wait_for_one_message
                dropped_waiter_disturbs_nobody
                each_waiter_hears_of_its_own_message
                no_end_is_missed_between_watch_and_settlement
            }
            dead {
                dead_letter_keeps_everything
                requeued_dead_letter_is_the_next_run
                requeued_poisoned_message_is_no_suspect
                dead_letter_can_die_twice
                dead_letters_are_deleted_by_id
                oldest_dead_letters_make_room
            }
            workers {
                heartbeat_registers_a_worker
                workers_are_listed_by_name
                registration_ends_with_its_time_to_live
                clock_set_back_does_not_stretch_registrations
                signed_off_worker_is_gone
                what_tasks_hide_is_kept
                who_registers_last_says_what_tasks_hide
                who_speaks_for_a_worker_keeps_it_registered
                nobody_speaks_for_who_is_not_registered
                commands_are_taken_once_and_in_order
                told_worker_is_hinted
                unknown_worker_is_not_told
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __broker_cases {
    ($($promise:ident { $($case:ident)* })*) => {
        $(mod $promise {
            $(
                #[test]
                fn $case() {
                    $crate::run(async {
                        let bed = super::__broker_bed().await;
                        $crate::broker::$promise::$case(&*bed).await;
                    });
                }
            )*
        })*
    };
}
