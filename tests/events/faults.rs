//! Every fault an event can meet, by number, and what shows what becomes of it.
//!
//! The rows name tests and commands; the tests at the end see to it that they exist. The common
//! oracle of the long runs is a model of every notification that was answered 200: in the end log
//! and model agree, each transition once, and what streams got is in order, without a gap and not
//! doubled.

use std::path::Path;
use std::time::Duration;

use qiwi_gateway::config::Cache;
use qiwi_gateway::operations;
use qiwi_gateway::policy::Lifetime;

/// What shows it.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// Tests of a file.
    By(&'static str, &'static [&'static str]),
    /// A command that takes longer than a test may, and the file that knows its variables.
    Run(&'static str, &'static str),
}

use Shown::{By, Run};

const ENGINE: &str = "src/state/events/embedded/tests/disk.rs";
const POWER: &str = "src/state/events/embedded/tests/power.rs";
const DAMAGE: &str = "src/state/events/embedded/tests/damage.rs";
const PROMISES: &str = "src/state/events/conformance.rs";
const STREAM: &str = "src/events/stream/tests.rs";
const SLOW: &str = "src/events/stream/tests/slow.rs";
const CLOCK: &str = "src/events/stream/tests/clock.rs";
const MEMBERS: &str = "src/events/consume/tests.rs";
const BENCH: &str = "benches/events.rs";
const BROKERS: &str = "src/state/nats/tests/faults.rs";
const READERS: &str = "tests/replicas/readers.rs";
const STORM: &str = "tests/replicas/storm.rs";

/// Number, fault, and what shows what becomes of it.
const FAULTS: &[(u8, &str, &[Shown])] = &[
    (
        1,
        "kill -9 before the append",
        &[By(
            "tests/events/failpoint.rs",
            &["killed_before_the_append_it_leaves_nothing_and_the_repeat_is_stored"],
        )],
    ),
    (
        2,
        "kill -9 between commit and 200",
        &[By(
            "tests/events/failpoint.rs",
            &["killed_between_commit_and_200_the_repeat_is_a_duplicate"],
        )],
    ),
    (
        3,
        "kill -9 after 200, before anybody is told",
        &[By(
            "tests/events/failpoint.rs",
            &["killed_after_200_and_before_anybody_was_told_the_resumed_stream_tells"],
        )],
    ),
    (
        4,
        "200 random kill -9 under load",
        &[
            By("tests/events/crash.rs", &["nothing_acknowledged_is_lost_or_doubled_by_kill_9"]),
            By(
                "src/state/events/embedded/tests/kill.rs",
                &["nothing_answered_is_lost_or_doubled_by_kill_9"],
            ),
            Run(
                "tests/events/crash.rs",
                "EVENT_KILLS=200 cargo nextest run --test main --no-capture events::crash",
            ),
        ],
    ),
    (
        5,
        "a power cut at every sync",
        &[
            By(POWER, &["a_power_cut_takes_nothing_that_was_answered"]),
            Run(POWER, "EVENT_CUTS=1000 cargo nextest run --lib power"),
        ],
    ),
    (
        6,
        "a crash during the recovery of a crash",
        &[By(POWER, &["a_power_cut_while_the_last_one_is_mended_takes_nothing"])],
    ),
    (
        7,
        "the disk is full",
        &[
            By(
                "tests/events/damage.rs",
                &["a_full_disk_refuses_at_once_and_is_used_again_when_there_is_room"],
            ),
            By(ENGINE, &["a_full_disk_refuses_and_is_used_again_when_there_is_room"]),
        ],
    ),
    (
        8,
        "a sync fails",
        &[
            By(ENGINE, &["a_failing_sync_is_not_tried_again"]),
            By(
                "tests/events/ends.rs",
                &["a_log_that_fails_takes_the_gateway_out_of_the_notifications_way_only"],
            ),
        ],
    ),
    (
        9,
        "files cut, flipped, zeroed",
        &[
            By(
                DAMAGE,
                &[
                    "a_database_cut_short_is_refused",
                    "a_database_with_a_zeroed_tail_is_never_believed",
                    "flipped_bits_are_never_believed",
                    "tidying_finds_damage_nobody_read",
                ],
            ),
            By(
                "tests/events/damage.rs",
                &[
                    "a_damaged_log_refuses_all_and_one_begun_anew_is_refilled_with_the_same_identities",
                ],
            ),
        ],
    ),
    (
        10,
        "files put back from yesterday",
        &[By(
            DAMAGE,
            &[
                "an_older_copy_is_refused_and_no_sequence_used_again",
                "a_log_begun_anew_is_another_one",
            ],
        )],
    ),
    (
        11,
        "the leader of the brokers is killed",
        &[
            By(BROKERS, &["a_leader_is_killed_and_nothing_is_lost"]),
            By(READERS, &["what_was_refused_when_a_leader_died_is_found_in_the_history"]),
            By(STORM, &["killed_at_random_nothing_is_lost_doubled_or_asked_too_often"]),
            Run(
                STORM,
                "STORM_KILLS=200 cargo nextest run --test main --no-capture replicas::storm",
            ),
        ],
    ),
    (
        12,
        "two of three brokers are down",
        &[
            By(BROKERS, &["without_a_majority_everything_is_refused_and_comes_back"]),
            By(
                "tests/replicas/broken.rs",
                &[
                    "with_two_of_three_brokers_down_money_and_notifications_wait_and_streams_stay_honest",
                ],
            ),
        ],
    ),
    (
        13,
        "all brokers are killed at once",
        &[By(BROKERS, &["all_brokers_are_killed_at_once_and_keep_what_they_acknowledged"])],
    ),
    (
        14,
        "a broker stands still for a while",
        &[
            By(BROKERS, &["a_broker_that_stood_still_tells_no_other_story"]),
            Run(BROKERS, "BROKER_PAUSE=30 cargo nextest run --lib --no-capture stood_still"),
        ],
    ),
    (
        15,
        "a broker's disk is full",
        &[By(
            BROKERS,
            &[
                "brokers_whose_disks_are_full_are_noticed_and_lose_nothing",
                "brokers_without_room_are_noticed_and_lose_nothing",
            ],
        )],
    ),
    (
        16,
        "a broker that does not keep what it acknowledges",
        &[By(
            BROKERS,
            &[
                "brokers_that_acknowledge_too_early_are_refused_by_name",
                "streams_that_break_a_promise_are_refused_by_name",
            ],
        )],
    ),
    (
        17,
        "a stream is deleted at the broker",
        &[By(BROKERS, &["streams_that_vanish_are_begun_anew_but_for_the_ledger"])],
    ),
    (
        18,
        "writes get stuck while the broker looks well",
        &[By(
            BROKERS,
            &[
                "writes_that_are_stored_and_not_acknowledged_are_noticed_although_all_looks_well",
                "a_write_whose_acknowledgement_is_lost_is_known_again",
            ],
        )],
    ),
    (
        19,
        "the same message a thousand times at once",
        &[
            By(
                "tests/events/replicas.rs",
                &["a_message_that_comes_to_three_gateways_a_thousand_times_is_one_event"],
            ),
            By(
                "tests/replicas/raced.rs",
                &["a_notification_that_comes_everywhere_a_thousand_times_is_one_event"],
            ),
            By("tests/events/intake.rs", &["a_thousand_at_once_are_all_answered_and_one_event"]),
            By(PROMISES, &["of_a_thousand_of_one_transition_one_is_logged"]),
        ],
    ),
    (
        20,
        "repeats, with the same id and with another one",
        &[
            By("tests/events/intake.rs", &["a_payment_is_stored_once_however_often_it_comes"]),
            By(PROMISES, &["a_delivery_is_known_again", "many_deliveries_of_one_event_are_merged"]),
        ],
    ),
    (
        21,
        "the same ids with another body, an old signature under something else",
        &[
            By(
                "tests/events/intake.rs",
                &[
                    "a_message_that_says_something_else_the_second_time_is_not_believed",
                    "what_is_forged_is_refused_and_counted_and_costs_no_question",
                ],
            ),
            By("src/events/wire.rs", &["one_signature_makes_four_events_at_most"]),
            By(
                "tests/events/poll/confirmation.rs",
                &["a_status_that_was_made_up_is_contradicted_and_the_true_one_told"],
            ),
        ],
    ),
    (
        22,
        "SUCCESS before WAITING, the poll before the webhook",
        &[
            By("tests/events/intake.rs", &["a_payment_is_stored_once_however_often_it_comes"]),
            By(PROMISES, &["what_comes_after_its_successor_is_late"]),
            By("tests/events/poll/history.rs", &["webhook_and_poll_make_one_event"]),
        ],
    ),
    (
        23,
        "the hook or its key changes while repeats are on their way",
        &[
            By(
                "tests/events/intake.rs",
                &[
                    "repeats_under_the_key_and_the_hook_before_are_good_for_a_while_and_make_one_event",
                ],
            ),
            By(
                "src/events/managed/tests/mod.rs",
                &[
                    "a_hook_deleted_behind_its_back_is_registered_again_and_the_old_one_stays_good",
                    "a_key_changed_by_a_call_is_learnt_and_the_old_one_stays_good",
                ],
            ),
        ],
    ),
    (
        24,
        "a slow subscriber that stops",
        &[
            By(SLOW, &["a_slow_client_is_borne_and_one_that_stops_is_ended_after_a_minute"]),
            Run(BENCH, "EVENT_STUCK=200 cargo bench --bench events"),
        ],
    ),
    (
        25,
        "one stuck stream among a hundred on one connection",
        &[By(
            "tests/events/stream.rs",
            &["one_stuck_stream_among_a_hundred_on_one_connection_holds_up_nobody"],
        )],
    ),
    (
        26,
        "10,000 subscribers that come and go",
        &[Run(
            BENCH,
            "EVENT_SUBSCRIBERS=10000 EVENT_WALLETS=100 EVENT_CHURN=20 cargo bench --bench events",
        )],
    ),
    (
        27,
        "10,000 come back at once with old cursors",
        &[
            By(
                "src/events/stream/tests/crowd.rs",
                &["many_that_come_back_at_once_read_a_few_at_a_time_and_get_everything"],
            ),
            Run(
                BENCH,
                "EVENT_SUBSCRIBERS=10000 EVENT_WALLETS=100 EVENT_RETURN=1 cargo bench --bench events",
            ),
            Run(
                BENCH,
                "EVENT_BROKERS=1 EVENT_SUBSCRIBERS=10000 EVENT_WALLETS=100 EVENT_RETURN=1 \
                 cargo bench --bench events",
            ),
        ],
    ),
    (
        28,
        "retention overtakes a subscriber and a group",
        &[
            By(
                "tests/events/ends.rs",
                &[
                    "a_cursor_behind_which_events_went_is_refused_until_it_is_given_up",
                    "a_stream_that_retention_overtakes_ends_and_leaves_nothing_out_before_that",
                    "a_group_that_retention_overtakes_is_told_the_gap",
                    "events_go_when_they_were_kept_for_as_long_as_configured",
                ],
            ),
            By(MEMBERS, &["what_retention_took_is_told_as_a_gap"]),
            By("tests/replicas/groups.rs", &["retention_that_overtakes_a_reader_is_told"]),
        ],
    ),
    (
        29,
        "cursors of elsewhere, ahead, altered, of a replica that is behind",
        &[
            By(
                "tests/events/stream.rs",
                &["a_cursor_that_leads_nowhere_is_refused_and_says_where_to_begin"],
            ),
            By("src/events/cursor.rs", &["no_altered_cursor_opens"]),
            By(CLOCK, &["a_cursor_ahead_of_a_shared_log_is_waited_for"]),
            By(
                "tests/replicas/behind.rs",
                &["a_cursor_of_another_gateway_is_waited_for_and_nothing_behind_it_is_left_out"],
            ),
            By(
                "src/state/events/embedded/tests/mod.rs",
                &["nothing_is_shown_that_the_log_does_not_know_of_itself"],
            ),
        ],
    ),
    (
        30,
        "nothing is selected for longer than events are kept",
        &[By(SLOW, &["a_quiet_stream_outlives_retention_by_its_heartbeats"])],
    ),
    (
        31,
        "heartbeats race with events",
        &[
            By(
                "src/events/stream/tests/race.rs",
                &["no_order_of_steps_puts_an_event_at_or_below_a_cursor"],
            ),
            By(STREAM, &["no_event_comes_at_or_below_a_cursor_and_none_is_left_out"]),
            Run(
                "src/events/stream/tests/race.rs",
                "EVENT_INTERLEAVINGS=1000000 cargo nextest run --lib --no-capture race::",
            ),
        ],
    ),
    (
        32,
        "a member dies holding 64, acknowledges late and twice",
        &[
            By(
                "tests/events/groups.rs",
                &[
                    "a_member_that_dies_holding_64_loses_nothing",
                    "events_come_again_until_somebody_acknowledges_them",
                ],
            ),
            By(
                MEMBERS,
                &[
                    "an_event_comes_once_per_deadline_until_somebody_acknowledges_it",
                    "what_a_lost_member_held_goes_to_the_others",
                ],
            ),
            By(
                "tests/events/ends.rs",
                &["a_member_that_takes_nothing_is_ended_and_its_deliveries_go_to_others"],
            ),
        ],
    ),
    (
        33,
        "poison in an ordered group",
        &[
            By(
                "tests/events/groups.rs",
                &["poison_blocks_its_wallet_only_and_comes_back_as_a_dead_letter"],
            ),
            By(
                "tests/events/replicas.rs",
                &["a_dead_letter_is_redriven_by_the_gateway_that_comes_after"],
            ),
        ],
    ),
    (
        34,
        "a member is cut off while another one takes over",
        &[
            By(
                "src/events/consume/tests/parted.rs",
                &["a_parted_member_loses_nothing_and_the_order_of_wallets_is_kept"],
            ),
            By(MEMBERS, &["two_processes_share_a_group"]),
            By(
                "tests/replicas/groups.rs",
                &["a_member_that_is_cut_off_is_replaced_and_nothing_is_lost_or_out_of_order"],
            ),
        ],
    ),
    (
        35,
        "the clock is set by an hour",
        &[
            By(
                CLOCK,
                &[
                    "order_cursors_and_what_is_known_do_not_depend_on_the_clock",
                    "a_time_is_one_of_the_logs_clock_also_when_the_systems_was_set_back",
                ],
            ),
            By(
                "src/events/consume/tests/clock.rs",
                &[
                    "deadlines_pass_evenly_whatever_happens_to_the_clock",
                    "a_clock_that_was_set_back_makes_no_delivery_wait_for_an_hour",
                ],
            ),
        ],
    ),
    (
        36,
        "QIWI refuses, fails, and shows fifty of one second",
        &[
            By(
                "tests/events/replicas.rs",
                &["refusals_and_failures_make_every_poller_rest_and_nothing_is_missed"],
            ),
            By(
                "tests/events/poll/history.rs",
                &[
                    "a_refused_wallet_is_left_alone_and_nothing_is_missed",
                    "many_of_one_second_are_told_once_each_oldest_first",
                    "an_empty_history_begins_with_its_first_transaction",
                ],
            ),
            By("src/events/poll/budget.rs", &["a_refusal_makes_the_whole_wallet_rest"]),
        ],
    ),
    (
        37,
        "a poller wakes late beside another one",
        &[
            By(
                "tests/events/replicas.rs",
                &[
                    "a_poller_that_wakes_late_beside_another_one_doubles_nothing_and_both_keep_the_budget",
                ],
            ),
            By(
                READERS,
                &["a_reader_that_stands_still_is_replaced_and_doubles_nothing_when_it_wakes"],
            ),
        ],
    ),
    (
        38,
        "one payment id on three replicas at once",
        &[
            By("tests/money/concurrency.rs", &["a_thousand_calls_with_one_id_are_one_payment"]),
            By(
                "tests/replicas/raced.rs",
                &[
                    "a_payment_that_is_asked_for_everywhere_a_thousand_times_is_made_once",
                    "a_payment_whose_sender_dies_is_settled_by_the_others",
                ],
            ),
            By(BROKERS, &["a_write_whose_acknowledgement_is_lost_is_known_again"]),
        ],
    ),
    (
        39,
        "nobody says that something kept has changed",
        &[
            By("tests/events/faults.rs", &["what_may_change_unheard_is_kept_for_a_minute_at_most"]),
            By(
                "tests/coordination/gateways.rs",
                &[
                    "what_one_gateway_changes_all_forget",
                    "a_gateway_that_cannot_hear_the_others_keeps_nothing_and_starts_anew_when_it_can",
                ],
            ),
            By(
                "tests/coordination/nats.rs",
                &["gateways_hear_each_other_over_a_broker_and_one_that_does_not_keeps_nothing"],
            ),
            By("tests/behaviour/credentials.rs", &["a_token_replaced_under_load_fails_no_call"]),
            By(
                "tests/behaviour/cache.rs",
                &["zero_staleness_always_asks_and_never_joins_an_older_question"],
            ),
        ],
    ),
    (
        40,
        "SIGTERM under load, one gateway after the other; brokers of the next version",
        &[
            By(
                "tests/events/drain.rs",
                &["an_update_under_load_ends_streams_orderly_and_loses_no_200"],
            ),
            By(
                "tests/events/stream.rs",
                &["stopping_ends_every_stream_with_a_heartbeat_and_loses_nothing"],
            ),
            By(
                "tests/replicas/rolling.rs",
                &["three_gateways_are_replaced_one_after_the_other_and_no_call_fails"],
            ),
            By(
                "tests/replicas/upgrade.rs",
                &[
                    "brokers_are_replaced_by_those_of_the_next_version_and_nothing_is_lost_or_doubled",
                ],
            ),
        ],
    ),
];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_fault_has_its_row_and_every_row_shows_something() {
    let numbers: Vec<_> = FAULTS.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
    for (number, fault, shown) in FAULTS {
        assert!(!shown.is_empty() && !fault.is_empty(), "{number}");
    }
}

#[test]
fn the_tests_that_are_named_exist() {
    for (number, fault, shown) in FAULTS {
        for of in *shown {
            let By(file, tests) = of else { continue };
            let text = read(file);
            assert!(!tests.is_empty(), "{number}: {fault}");
            for test in *tests {
                let named = [format!("    {test}\n"), format!("fn {test}(")];
                // The tests of what every engine promises are listed, and made by a macro.
                let is_test = text.match_indices(&named[1]).any(|(at, _)| {
                    let above = text[..at].lines().rev().take(3);
                    above
                        .into_iter()
                        .any(|line| line.trim_start().starts_with("#[") && line.contains("test"))
                        || text.contains(&named[0])
                });
                assert!(is_test, "{number}, {fault}: {file} has no test {test}");
            }
        }
    }
}

#[test]
fn the_commands_that_are_named_have_their_variables() {
    for (number, fault, shown) in FAULTS {
        for of in *shown {
            let Run(file, command) = of else { continue };
            let text = read(file);
            let variables: Vec<_> =
                command.split(' ').filter_map(|word| word.split_once('=')).collect();
            assert!(!variables.is_empty() && command.contains("cargo "), "{number}: {command}");
            for (variable, _) in variables {
                let named = format!("\"{variable}\"");
                assert!(text.contains(&named), "{number}, {fault}: {file} knows no {variable}");
            }
        }
    }
}

/// A process hears of no change that another one made: what it keeps, it keeps for a while.
#[test]
fn what_may_change_unheard_is_kept_for_a_minute_at_most() {
    let cache = Cache::default();
    let mut kept = 0;
    for row in operations::all() {
        if let lifetime @ (Lifetime::Profile | Lifetime::Balance) = row.policy.cache {
            let lifetime = lifetime.resolve(&cache).unwrap();
            assert!(lifetime <= Duration::from_secs(60), "{}: {lifetime:?}", row.policy.rpc);
            kept += 1;
        }
    }
    assert!(kept > 0);
    let reload = qiwi_gateway::config::Config::default().security.reload_interval;
    assert!(reload <= Duration::from_secs(60), "{reload:?}");
}
