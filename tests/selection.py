"""Which tests are `slow`: `make test` leaves them out, `make test-all` and CI run them.

A pytest plugin (`-p tests.selection`). The selection is a table here, so that one page shows what the quick run covers.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TESTS: Final = Path(__file__).parent

#: Folders whose tests start whole processes: only the tests of `QUICK` run in `make test`.
SLOW_FOLDERS: Final = ("acceptance", "install")

#: Of what is slow, one test for each part that a user meets.
QUICK: Final = frozenset(
    {
        "acceptance/test_worker.py::test_an_enqueued_verification_ends_in_a_delivered_decision_with_its_evidence",
        "acceptance/test_worker.py::test_a_pipeline_enqueues_by_celery_name_alone",
        "acceptance/test_worker.py::test_what_a_killed_worker_held_is_picked_up_by_another",
        "acceptance/test_hostile_messages.py::test_no_message_kills_a_worker_or_is_quoted",
        "acceptance/test_tls.py::test_a_fleet_works_over_tls",
        "acceptance/test_web.py::test_web_that_has_found_redis_stays_when_it_goes",
        "integration/test_cli.py::test_help_lists_every_command_with_a_line_about_it",
        "integration/test_cli_console.py::test_sessions_are_revoked_and_recorded",
        "integration/test_cli_audit.py::test_it_shows_filters_and_exports",
        "integration/test_cli_enqueue.py::test_ids_are_in_the_ledger_when_the_command_is_done_and_known_ones_change_nothing",
        "integration/test_cli_list.py::test_what_a_batch_holds_is_listed_at_its_stage",
        "integration/test_cli_report.py::test_a_month_is_counted_from_the_evidence_alone",
        "integration/test_cli_stats.py::test_stats_for_people_show_the_same",
        "integration/test_cli_status.py::test_one_in_its_countdown_says_when_it_is_due_and_what_was_answered",
        "integration/test_cli_webhook.py::test_people_read_one_line_a_check",
        "integration/test_log_audit.py::test_a_changed_object_is_found",
        "integration/test_log_sequencer.py::test_what_has_ended_is_in_the_log_with_its_tiles_and_a_signed_checkpoint",
        "integration/test_console_verifications.py::test_each_stage_says_what_it_waits_for_and_nothing_personal",
        "integration/test_evidence_checking.py::test_a_log_that_takes_too_long_ends_the_check",
        "integration/test_evidence_encrypted.py::test_everything_comes_back_and_nothing_can_be_read_in_the_store",
        "integration/test_evidence_encrypted.py::test_a_changed_object_fails_loudly_with_its_name",
        "integration/test_forged_ledger.py::test_the_same_id_of_another_region_proves_nothing",
        "integration/test_evidence_s3.py::test_every_object_is_sent_with_its_checksum_under_the_signature",
        "integration/test_console_doors.py::test_a_session_ends_with_log_out",
        "integration/test_audit_unwritable.py::test_what_is_wrong_is_said",
        "integration/test_audit_state.py::test_what_a_full_part_drops_is_counted_and_what_others_have_is_not",
        "integration/test_console_audit.py::test_pages_have_each_entry_once",
        "integration/test_console_quarantine.py::test_all_that_match_are_counted_then_retried",
        "integration/test_console_now.py::test_everything_that_needs_a_person_stands_on_top_with_the_next_step",
        "integration/test_console_now.py::test_the_live_part_is_sent_again_only_when_it_has_changed",
        "integration/test_console_log_ins.py::test_attempts_are_bounded_by_name_and_address",
        "integration/test_console_routes.py::test_each_view_declares_a_role",
        "integration/test_console_routes.py::test_no_form_of_another_site_is_taken_by_any_route",
        "integration/test_console_sessions.py::test_who_writes_to_redis_cannot_make_a_session",
        "integration/test_console_deliveries.py::test_a_recovery_counts_first_and_asks",
        "integration/test_console_evidence.py::test_nothing_is_shown_before_a_look_is_recorded",
        "integration/test_erasure.py::test_what_is_under_way_held_or_unknown_is_refused_with_one_line",
        "integration/test_unread.py::test_on_redis_messages_of_every_priority_are_counted",
        "integration/test_web_pages.py::test_it_is_ready_while_a_worker_is_seen",
        "integration/test_local_fleet.py::test_what_is_enqueued_ends_in_the_decisions_that_a_pipeline_would_receive",
        "integration/test_local_fleet.py::test_a_drain_that_does_not_end_says_what_waits",
        "integration/test_local_fleet.py::test_a_celery_pipeline_enqueues_receives_and_enqueues_again",
        "integration/test_local_decisions.py::test_a_vendor_that_is_busy_for_a_moment_is_asked_for_links_again",
        "integration/test_metrics.py::test_a_histogram_has_each_poll_and_each_decision_once",
        "integration/test_metrics.py::test_both_forms_can_be_read_by_the_librarys_parsers_and_say_the_same",
        "integration/test_sweep_unended.py::test_a_sweep_ends_an_erasure_that_was_killed_after_any_step",
        "integration/test_poisoned_ledger.py::test_a_verification_whose_key_is_damaged_stops_no_claim",
    }
)

#: Files that take long beside what they add to a quick look: commands as processes, servers that hang, simulations,
#: promtool. Only the tests of `QUICK` run in `make test`.
SLOW_FILES: Final = frozenset(
    {
        "deploy/test_api_tokens.py",
        "deploy/test_compose.py",
        "deploy/test_console.py",
        "deploy/test_evidence_keys.py",
        "deploy/test_image.py",
        "deploy/test_kubernetes.py",
        "deploy/test_prometheus.py",
        "deploy/test_signing_key.py",
        "integration/test_advance_connections.py",
        "integration/test_audit_clock.py",
        "integration/test_audit_state.py",
        "integration/test_audit_unwritable.py",
        "integration/test_bench_counts.py",
        "integration/test_chaos_pipeline.py",
        "integration/test_cli.py",
        "integration/test_cli_audit.py",
        "integration/test_cli_console.py",
        "integration/test_cli_decisions.py",
        "integration/test_cli_deliveries.py",
        "integration/test_cli_doctor.py",
        "integration/test_cli_enqueue.py",
        "integration/test_cli_erasure_shown.py",
        "integration/test_cli_evidence_export.py",
        "integration/test_cli_evidence_faults.py",
        "integration/test_cli_evidence_holds.py",
        "integration/test_cli_evidence_list.py",
        "integration/test_cli_evidence_places.py",
        "integration/test_cli_evidence_show.py",
        "integration/test_cli_evidence_wrong_key.py",
        "integration/test_cli_hold.py",
        "integration/test_cli_interrupt.py",
        "integration/test_cli_list.py",
        "integration/test_cli_quarantine.py",
        "integration/test_cli_report.py",
        "integration/test_cli_retention.py",
        "integration/test_cli_stats.py",
        "integration/test_cli_status.py",
        "integration/test_cli_token.py",
        "integration/test_cli_webhook.py",
        "integration/test_client_alone.py",
        "integration/test_console_audit.py",
        "integration/test_console_costly.py",
        "integration/test_console_decisions.py",
        "integration/test_console_deliveries.py",
        "integration/test_console_doors.py",
        "integration/test_console_evidence.py",
        "integration/test_console_log_ins.py",
        "integration/test_console_now.py",
        "integration/test_console_planted.py",
        "integration/test_console_quarantine.py",
        "integration/test_console_real_tasks.py",
        "integration/test_console_rights.py",
        "integration/test_console_routes.py",
        "integration/test_console_sessions.py",
        "integration/test_console_verifications.py",
        "integration/test_damaged_ledger.py",
        "integration/test_demo_api.py",
        "integration/test_demo_console.py",
        "integration/test_docs_site.py",
        "integration/test_docs_testing.py",
        "integration/test_erased_fleet.py",
        "integration/test_erasure.py",
        "integration/test_evidence_azure.py",
        "integration/test_evidence_bucket.py",
        "integration/test_evidence_checking.py",
        "integration/test_evidence_crash.py",
        "integration/test_evidence_encrypted.py",
        "integration/test_evidence_guarantees.py",
        "integration/test_evidence_moto.py",
        "integration/test_evidence_policies.py",
        "integration/test_evidence_power_cut.py",
        "integration/test_evidence_rotation.py",
        "integration/test_evidence_s3.py",
        "integration/test_evidence_siblings.py",
        "integration/test_evidence_strategies.py",
        "integration/test_example_receivers.py",
        "integration/test_forged_deliveries.py",
        "integration/test_forged_ledger.py",
        "integration/test_fork_server.py",
        "integration/test_fuzz_answers.py",
        "integration/test_fuzz_http.py",
        "integration/test_http_api_admission.py",
        "integration/test_http_api_costly.py",
        "integration/test_http_api_deliveries.py",
        "integration/test_http_api_description.py",
        "integration/test_http_api_failed_tokens.py",
        "integration/test_http_api_regions.py",
        "integration/test_http_api_singles.py",
        "integration/test_http_api_webhook_keys.py",
        "integration/test_http_client_bad_servers.py",
        "integration/test_http_client_name_lookups.py",
        "integration/test_http_client_requests.py",
        "integration/test_image_connections.py",
        "integration/test_image_garbage.py",
        "integration/test_image_memory.py",
        "integration/test_ledger_properties.py",
        "integration/test_list_contexts.py",
        "integration/test_list_pages.py",
        "integration/test_local_decisions.py",
        "integration/test_local_encrypted.py",
        "integration/test_local_fleet.py",
        "integration/test_local_planted_answers.py",
        "integration/test_local_siblings.py",
        "integration/test_log_audit.py",
        "integration/test_log_audit_growth.py",
        "integration/test_log_cli.py",
        "integration/test_log_crash.py",
        "integration/test_log_metrics.py",
        "integration/test_log_sequencer.py",
        "integration/test_log_service.py",
        "integration/test_log_timestamps.py",
        "integration/test_manifest_last.py",
        "integration/test_metrics.py",
        "integration/test_one_unreadable_object.py",
        "integration/test_pipeline_names.py",
        "integration/test_pipeline_shares.py",
        "integration/test_planted_plain_files.py",
        "integration/test_poisoned_ledger.py",
        "integration/test_quarantine_runs.py",
        "integration/test_reads_when_full.py",
        "integration/test_redis_clock.py",
        "integration/test_redis_transport.py",
        "integration/test_report_bucket.py",
        "integration/test_report_log.py",
        "integration/test_report_of_fleet.py",
        "integration/test_retention_sweep.py",
        "integration/test_review_audit.py",
        "integration/test_reviews.py",
        "integration/test_runbook_commands.py",
        "integration/test_sandbox_callbacks.py",
        "integration/test_sandbox_command.py",
        "integration/test_server_faults.py",
        "integration/test_sweep_unended.py",
        "integration/test_token_cache.py",
        "integration/test_token_request_clock.py",
        "integration/test_two_local_fleets.py",
        "integration/test_unread.py",
        "integration/test_web_pages.py",
        "integration/test_webhook_events.py",
        "unit/test_api_quick_check.py",
        "unit/test_approve_is_hard.py",
        "unit/test_chaos_checks.py",
        "unit/test_chaos_schedule.py",
        "unit/test_cli_poll_plan.py",
        "unit/test_client_imports.py",
        "unit/test_decision_cursor.py",
        "unit/test_decision_properties.py",
        "unit/test_demo_plan.py",
        "unit/test_docs_generated.py",
        "unit/test_docs_site.py",
        "unit/test_hub_monitor.py",
        "unit/test_odd_answers.py",
        "unit/test_packages.py",
        "unit/test_plain_url.py",
        "unit/test_private_names.py",
        "unit/test_report_reading.py",
        "unit/test_schedule_bench.py",
        "unit/test_schemas_record.py",
        "unit/test_shared_reading.py",
        "unit/test_shares.py",
        "unit/test_simulation.py",
        "unit/test_table_examination.py",
        "unit/test_watermark.py",
    }
)


#: Tests of other files that wait for a timeout, or try thousands of inputs.
SLOW_TESTS: Final = frozenset(
    {
        "integration/test_advance_client.py::test_whatever_bytes_the_vendor_sends_are_an_answer",
        "integration/test_audit_state.py::test_the_stats_show_both_and_nothing_of_a_log_that_is_well",
        "integration/test_audit_state.py::test_counts_that_no_script_wrote_stop_no_act_and_no_figure",
        "integration/test_audit_state.py::test_what_a_full_part_drops_is_counted_and_what_others_have_is_not",
        "integration/test_api_rate_limit_threads.py::test_reads_continue_while_redis_is_full",
        "integration/test_console_quarantine.py::test_a_run_outlives_the_process_that_was_at_work",
        "integration/test_decision_feed.py::test_no_position_goes_back_with_the_clock",
        "integration/test_http_api.py::test_a_page_looks_at_a_bounded_number_and_leads_on",
        "integration/test_http_api.py::test_decisions_come_in_order_with_their_bytes_and_a_cursor_survives_a_restart",
        "integration/test_http_api.py::test_pages_of_any_size_have_each_verification_once",
        "integration/test_http_client.py::test_a_bomb_is_not_unpacked_beyond_what_is_allowed",
        "integration/test_local_decisions.py::test_every_scenario_of_the_sandbox_ends_as_its_catalogue_says",
        "integration/test_sandbox_contract.py::test_our_client_gets_the_images_that_an_example_promises",
        "integration/test_sandbox_contract.py::test_our_client_hears_what_an_example_promises",
        "integration/test_timeline.py::test_whatever_happens_steps_stay_and_no_fault_is_uncounted",
        "integration/test_webhook_sender.py::test_a_slow_receiver_gets_a_delivery_once_over_a_connection_that_was_idle",
        "unit/test_answers.py::test_every_exchange_about_a_token_becomes_a_token_or_why_there_is_none",
        "unit/test_answers.py::test_every_exchange_becomes_an_answer_and_only_a_whole_success_settles",
        "unit/test_answers.py::test_no_retry_after_is_beyond_its_bounds_or_raises",
        "unit/test_api_bodies.py::test_what_json_is_comes_back_as_it_was",
        "unit/test_app.py::test_a_ready_worker_collects_rarely_and_nothing_that_it_has_loaded",
        "unit/test_cli_spreadsheets.py::test_memory_does_not_grow_with_the_file",
        "unit/test_console_passwords.py::test_a_hash_matches_its_password_alone_in_any_form_of_unicode",
        "unit/test_decision_check.py::test_each_key_of_any_file_is_on_the_line_where_it_is",
        "unit/test_decision_check.py::test_the_time_to_find_lines_grows_with_the_file_and_no_faster",
        "unit/test_decision_facts.py::test_whatever_an_answer_says_it_fits_and_comes_back",
        "unit/test_decision_table.py::test_promise_7_no_table_that_is_taken_approves_anything_else",
        "unit/test_decision_table.py::test_whatever_a_file_holds_it_is_refused_with_lines",
        "unit/test_demo_pipeline.py::test_it_takes_decisions_of_whatever_name_and_writes_each_down_on_a_line",
        "unit/test_enqueue_rules.py::test_both_accept_and_refuse_the_same_and_say_the_same",
        "unit/test_enqueue_rules.py::test_both_keep_the_same_name_of_a_pipeline",
        "unit/test_enqueue_rules.py::test_both_keep_the_same_of_a_context",
        "unit/test_instrumentation.py::test_what_is_off_is_not_imported",
        "unit/test_log_tiles.py::test_rows_can_be_read_again_and_only_those_of_the_tree",
        "unit/test_policy_rules.py::test_no_mixture_of_faults_outlives_the_deadline",
        "unit/test_schemas_result.py::test_a_mapping_nested_without_end_is_read_or_refused",
        "unit/test_schemas_result.py::test_any_json_in_any_field_is_read_or_refused_and_never_quoted",
        "unit/test_schemas_result.py::test_any_json_in_any_field_of_the_document_is_read_or_refused_and_never_quoted",
        "unit/test_schemas_result.py::test_any_json_is_read_or_refused_and_never_quoted",
        "unit/test_schemas_siblings.py::test_any_json_in_the_parts_of_siblings_is_read_or_refused",
        "unit/test_signatures.py::test_the_module_needs_the_standard_library_only",
        "unit/test_webhook_rules.py::test_a_try_ends_within_a_lease",
        "integration/test_evidence_archive.py::test_of_many_workers_at_the_same_verification_at_once_all_tell_the_same",
        "integration/test_evidence_store.py::test_a_store_made_before_a_fork_works_after_it",
        "integration/test_sandbox_server.py::test_calls_at_the_same_time_are_counted_as_such",
        "unit/test_log_tiles.py::test_each_row_has_the_hashes_of_the_tree",
        "unit/test_report_figures.py::test_counting_takes_time_in_proportion",
        "unit/test_schemas_siblings.py::test_a_part_takes_time_in_proportion_to_its_size",
    }
)

#: Files whose names do not say that most of their tests need RabbitMQ.
ALSO_WITH_RABBITMQ: Final = ("acceptance/test_queue_arguments.py",)

_FILES_OF_QUICK: Final = frozenset(name.partition("::")[0] for name in QUICK)
_FILES_OF_SLOW_TESTS: Final = frozenset(name.partition("::")[0] for name in SLOW_TESTS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the files that this process collects, beginning where no other process of the run begins.

    In a fresh clone pytest compiles each of them, and a process takes from the disk what another has compiled.
    """
    number, processes = (os.environ.get(f"PYTEST_XDIST_WORKER{end}", "") for end in ("", "_COUNT"))
    if not number or not all(Path(folder).is_dir() for folder in session.config.args):
        return
    files = sorted(file for file in _TESTS.rglob("test_*.py") if not _is_left_out(file, session.config))
    for file in rotated(files, int(number.removeprefix("gw")), int(processes)):
        # What fails is imported again by pytest, which reports it.
        with suppress(Exception, pytest.skip.Exception):
            import_module(".".join(file.relative_to(_TESTS.parent).with_suffix("").parts))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all tests with RabbitMQ to one process, where one broker serves them."""
    if config.getoption("dist") != "loadfile":
        return None
    # xdist calls this, so it is installed.
    scheduling = import_module("xdist.scheduler").LoadFileScheduling(config, log)
    scheduling._split_scope = scope
    return scheduling


def scope(nodeid: str) -> str:
    """The name of the tests that run in the same process as a test: those of its file, or all with RabbitMQ."""
    file = nodeid.partition("::")[0]
    return "rabbitmq" if "rabbitmq" in nodeid or file.endswith(ALSO_WITH_RABBITMQ) else file


def rotated(files: Sequence[Path], number: int, processes: int) -> Iterable[Path]:
    """All files, those first with which process `number` begins."""
    start = len(files) * number // processes
    return [*files[start:], *files[:start]]


def _is_left_out(path: Path, config: pytest.Config) -> bool:
    file = _named(path)
    return file is not None and is_ignored(file, config.option.markexpr)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files of which the run needs no test, because each worker of pytest imports what it collects."""
    if collection_path.suffix != ".py" or collection_path.name in {"__init__.py", "conftest.py"}:
        return None
    return _is_left_out(collection_path, config) or None


def is_ignored(file: str, expression: str) -> bool:
    """Whether a run with `-m expression` needs no test of a file."""
    if expression == "not slow":
        return _slow_by_default(file) and file not in _FILES_OF_QUICK
    if expression == "slow":
        return not _slow_by_default(file) and file not in _FILES_OF_SLOW_TESTS
    return False


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.path, item.name):
            item.add_marker(pytest.mark.slow)


def is_slow(path: Path, name: str) -> bool:
    """Whether the test `name` of the file at `path` is left out of the quick run."""
    file = _named(path)
    if file is None:
        return False
    test = f"{file}::{name.partition('[')[0]}"
    return test not in QUICK if _slow_by_default(file) else test in SLOW_TESTS


@cache
def _named(path: Path) -> str | None:
    """The name of a file of the tests in the tables above. None: it is elsewhere."""
    return path.relative_to(_TESTS).as_posix() if path.is_relative_to(_TESTS) else None


def _slow_by_default(file: str) -> bool:
    return file.partition("/")[0] in SLOW_FOLDERS or file in SLOW_FILES
