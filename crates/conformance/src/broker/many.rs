//! Several queues in one round trip: each is answered as if it were asked alone.

use std::collections::HashSet;
use std::sync::Arc;

use lovage_core::{Hint, Maintained, QueueName, Reserve, Reserved, SlotWants, Timestamp};

use super::BrokerBed;
use super::support::{LEASE, Queue, at, next_hint, secs, token};

const NAMES: [&str; 4] = ["many-d", "many-a", "many-c", "many-b"];

async fn join(bed: &dyn BrokerBed) -> Vec<Queue> {
    let queue = Queue::join(bed).await;
    NAMES.iter().map(|name| queue.other(name)).collect()
}

async fn reserve(queues: &[Queue], max: &[usize], now: Option<Timestamp>) -> Vec<Reserved> {
    let requests: Vec<Reserve<'_>> = queues
        .iter()
        .zip(max)
        .map(|(queue, max)| Reserve {
            queue: &queue.name,
            want: SlotWants::any(*max),
            token: token(),
            lease: LEASE,
            suspects: true,
        })
        .collect();
    let answers = queues[0].broker.reserve_many(&requests, now).await.expect("reserve_many");
    assert_eq!(answers.len(), queues.len(), "one answer for each request");
    answers.into_iter().map(|answer| answer.expect("a reservation")).collect()
}

async fn maintain(queues: &[Queue], now: Option<Timestamp>) -> Vec<Maintained> {
    let names: Vec<QueueName> = queues.iter().map(|queue| queue.name.clone()).collect();
    let answers = queues[0].broker.maintain_many(&names, 10, LEASE, now).await.expect("maintain_many");
    assert_eq!(answers.len(), queues.len(), "one answer for each queue");
    answers.into_iter().map(|answer| answer.expect("a maintained queue")).collect()
}

/// Each queue hands out its own messages, in their order, whatever the order of the requests.
pub async fn reservations_of_many_queues_are_answered_in_order(bed: &dyn BrokerBed) {
    let queues = join(bed).await;
    let mut filled = Vec::new();
    for queue in &queues {
        filled.push(queue.fill(3, at(0)).await);
    }
    let answers = reserve(&queues, &[10; 4], at(1)).await;
    for (filled, answer) in filled.iter().zip(&answers) {
        let found: Vec<_> = answer.deliveries.iter().map(|delivery| delivery.id).collect();
        assert_eq!(found, *filled);
        assert_eq!(answer.now, at(1).expect("an instant"));
    }
    for queue in &queues {
        queue.expect_nothing(at(2)).await;
    }
}

/// The maximum is one of each request.
pub async fn many_queues_hand_out_no_more_than_asked(bed: &dyn BrokerBed) {
    let queues = join(bed).await;
    for queue in &queues {
        queue.fill(3, at(0)).await;
    }
    queues[3].broker.pause(&queues[3].name).await.expect("pause");
    let answers = reserve(&queues, &[1, 2, 5, 5], at(1)).await;
    let counts: Vec<usize> = answers.iter().map(|answer| answer.deliveries.len()).collect();
    assert_eq!(counts, [1, 2, 3, 0]);
}

/// A handle that found nothing in some of the queues is hinted for these.
pub async fn empty_queues_of_a_batch_register_as_idle(bed: &dyn BrokerBed) {
    let queues = join(bed).await;
    queues[0].fill(1, at(0)).await;
    let answers = reserve(&queues, &[1; 4], at(1)).await;
    assert_eq!(answers.iter().map(|answer| answer.deliveries.len()).sum::<usize>(), 1);
    let publisher = Queue::join(bed).await;
    for queue in &queues[1..] {
        publisher.other(queue.name.as_str()).fill(1, at(2)).await;
        assert_eq!(next_hint(&*queue.broker, "work").await, Hint::Work(queue.name.clone()));
    }
}

/// Ended leases are reclaimed and due messages promoted in every queue of the batch.
pub async fn maintenance_of_many_queues_reclaims_and_promotes(bed: &dyn BrokerBed) {
    let queues = join(bed).await;
    maintain(&queues, at(0)).await;
    queues[1].fill(2, at(0)).await;
    queues[1].reserve(10, at(0)).await;
    queues[2].accept(queues[2].message().delay(secs(25)), at(0)).await;
    for second in [10, 20] {
        let answers = maintain(&queues, at(second)).await;
        assert!(answers.iter().all(|answer| answer.reclaimed + answer.promoted == 0), "{answers:?}");
    }
    let answers = maintain(&queues, at(31)).await;
    let counts: Vec<_> = answers.iter().map(|answer| (answer.reclaimed, answer.promoted)).collect();
    assert_eq!(counts, [(0, 0), (2, 0), (0, 1), (0, 0)]);
}

/// The wait after an absence is that of each queue, also where a queue had nothing to look after.
pub async fn maintenance_of_many_queues_guards_after_an_absence(bed: &dyn BrokerBed) {
    let queues = join(bed).await;
    maintain(&queues, at(0)).await;
    maintain(&queues, at(100)).await;
    queues[0].fill(1, at(100)).await;
    queues[0].reserve(1, at(100)).await;
    assert_eq!(maintain(&queues, at(200)).await[0].reclaimed, 0, "live workers renew first");
    for second in [210, 220, 229] {
        assert_eq!(maintain(&queues, at(second)).await[0].reclaimed, 0);
    }
    assert_eq!(maintain(&queues, at(231)).await[0].reclaimed, 1);
}

/// Many workers ask overlapping queues in different orders: each message is handed out once, and none waits for ever.
pub async fn batches_of_overlapping_queues_share_no_message(bed: &dyn BrokerBed) {
    let queues = join(bed).await;
    let mut sent = HashSet::new();
    for queue in &queues {
        sent.extend(queue.fill(50, at(0)).await);
    }
    let mut workers = Vec::new();
    for turn in 0..4 {
        let mut mine = join(bed).await;
        mine.rotate_left(turn);
        workers.push(tokio::spawn(async move {
            let mut found = Vec::new();
            loop {
                let answers = reserve(&mine, &[3; 4], at(1)).await;
                let before = found.len();
                found
                    .extend(answers.iter().flat_map(|answer| &answer.deliveries).map(|delivery| delivery.id));
                maintain(&mine, at(1)).await;
                if found.len() == before {
                    return found;
                }
            }
        }));
    }
    let mut found = Vec::new();
    for worker in workers {
        found.extend(worker.await.expect("a worker"));
    }
    assert_eq!(found.len(), sent.len(), "each message once");
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), sent);
}

/// Paused, limited and unused queues are answered beside one that hands out messages.
pub async fn paused_and_limited_queues_hide_no_other(bed: &dyn BrokerBed) {
    let queues = join(bed).await;
    queues[0].fill(2, at(0)).await;
    queues[1].fill(2, at(0)).await;
    queues[2].fill(2, at(0)).await;
    queues[1].broker.pause(&queues[1].name).await.expect("pause");
    let limit = "1/s".parse().expect("a rate limit");
    queues[2].broker.limit(&queues[2].name, Some(limit)).await.expect("limit");
    let answers = reserve(&queues, &[5; 4], at(1)).await;
    let counts: Vec<usize> = answers.iter().map(|answer| answer.deliveries.len()).collect();
    assert_eq!(counts, [2, 0, 1, 0]);
}

/// Maintenance reports whether a reservation would find something, and whether messages are leased.
pub async fn maintenance_reports_what_a_queue_holds(bed: &dyn BrokerBed) {
    let queues = join(bed).await;
    let states = async |second| {
        let answers = maintain(&queues, at(second)).await;
        answers.iter().map(|answer| (answer.is_ready, answer.is_leased)).collect::<Vec<_>>()
    };
    assert_eq!(states(0).await, [(false, false); 4]);
    queues[0].fill(1, at(0)).await;
    queues[1].fill(1, at(0)).await;
    queues[1].reserve(1, at(0)).await;
    queues[2].fill(1, at(0)).await;
    queues[2].broker.pause(&queues[2].name).await.expect("pause");
    queues[3].fill(2, at(0)).await;
    queues[3].broker.limit(&queues[3].name, Some("1/m".parse().expect("a rate limit"))).await.expect("limit");
    queues[3].reserve(2, at(0)).await;
    assert_eq!(states(1).await, [(true, false), (false, true), (false, false), (false, true)]);
    let alone = Arc::clone(&queues[0].broker).maintain(&queues[0].name, 10, LEASE, at(2)).await;
    assert!(alone.expect("maintain").is_ready);
}
