//! Bad messages, tasks and arguments on every broker: what becomes of them is the same everywhere and is what
//! `docs/errors.md` says, and the worker goes on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

mod bed;
mod cases;
mod connections;
mod damaged;
mod full;
mod stories;
mod tasks;

/// One test for each case and broker.
macro_rules! on_every_broker {
    ($($broker:ident)*) => {$(
        mod $broker {
            on_one_broker! {
                $broker
                garbage
                empty
                truncated
                left_over
                absurd_lengths
                newer_version
                unknown_task
                hostile_name
                other_signature
                signature_of_a_json_task
                too_many_arguments
                too_few_arguments
                unknown_argument
                wrong_type
                no_list
                no_json
                deep_json
                result_that_does_not_serialize
                result_that_is_too_large
                error_that_is_too_large
                text_with_nul
                fifty_megabytes_of_another_program
                limits_without_end
                panic_with_nul
                retry_in_the_far_future
            }

            #[tokio::test]
            async fn fifty_megabytes_of_ours() {
                crate::stories::too_large_to_send(crate::bed::$broker().await).await;
            }

            #[tokio::test]
            async fn all_at_once() {
                crate::stories::all_at_once(crate::bed::$broker().await).await;
            }
        }
    )*};
}

macro_rules! on_one_broker {
    ($broker:ident $($case:ident)*) => {$(
        #[tokio::test]
        async fn $case() {
            crate::stories::one(crate::bed::$broker().await, crate::cases::$case()).await;
        }
    )*};
}

on_every_broker!(memory sqlite postgres redis redis_cluster);
