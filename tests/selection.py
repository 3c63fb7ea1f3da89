"""Which tests are `slow`: `make test` leaves them out, `make test-all` and CI run them.

A pytest plugin (`-p tests.selection`). The selection is a table here, so that one page shows what the quick run covers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

_TESTS: Final = Path(__file__).parent

#: Folders whose tests start whole processes: only the tests of `QUICK` run in `make test`.
SLOW_FOLDERS: Final = ("acceptance", "install")

#: Of what is slow, one test for each part that a user meets.
QUICK: Final = frozenset(
    {
        "acceptance/test_worker.py::test_an_enqueued_verification_ends_in_a_delivered_decision_with_its_evidence",
        "acceptance/test_worker.py::test_a_pipeline_enqueues_by_celery_name_alone",
        "acceptance/test_worker.py::test_what_a_killed_worker_held_is_picked_up_by_another",
        "acceptance/test_worker.py::test_nothing_personal_leaves_the_evidence_store",
        "acceptance/test_worker.py::test_sigterm_ends_a_worker_with_exit_code_0",
        "acceptance/test_hostile_messages.py::test_no_message_kills_a_worker_or_is_quoted",
        "acceptance/test_procfile.py::test_the_readmes_pipeline_gets_a_decision_for_each_of_its_ways_to_enqueue",
        "acceptance/test_tls.py::test_a_fleet_works_over_tls",
        "acceptance/test_web.py::test_web_that_has_found_redis_stays_when_it_goes",
        "integration/test_cli.py::test_help_lists_every_command_with_a_line_about_it",
        "integration/test_cli_enqueue.py::test_ids_are_in_the_ledger_when_the_command_is_done_and_known_ones_change_nothing",
        "integration/test_cli_list.py::test_what_a_batch_holds_is_listed_at_its_stage",
        "integration/test_cli_stats.py::test_stats_for_people_show_the_same",
        "integration/test_cli_status.py::test_one_in_its_countdown_says_when_it_is_due_and_what_was_answered",
        "integration/test_cli_webhook.py::test_people_read_one_line_a_check",
        "integration/test_unread.py::test_on_redis_messages_of_every_priority_are_counted",
    }
)

#: Files that take long beside what they add to a quick look: commands as processes, servers that hang, simulations,
#: promtool. Only the tests of `QUICK` run in `make test`.
SLOW_FILES: Final = frozenset(
    {
        "deploy/test_image.py",
        "deploy/test_kubernetes.py",
        "deploy/test_prometheus.py",
        "integration/test_bench_counts.py",
        "integration/test_chaos_pipeline.py",
        "integration/test_cli.py",
        "integration/test_cli_decisions.py",
        "integration/test_cli_deliveries.py",
        "integration/test_cli_doctor.py",
        "integration/test_cli_enqueue.py",
        "integration/test_cli_hold.py",
        "integration/test_cli_list.py",
        "integration/test_cli_quarantine.py",
        "integration/test_cli_stats.py",
        "integration/test_cli_status.py",
        "integration/test_cli_token.py",
        "integration/test_cli_webhook.py",
        "integration/test_demo_api.py",
        "integration/test_docs_site.py",
        "integration/test_docs_testing.py",
        "integration/test_evidence_crash.py",
        "integration/test_evidence_power_cut.py",
        "integration/test_evidence_siblings.py",
        "integration/test_example_receivers.py",
        "integration/test_fork_server.py",
        "integration/test_fuzz_http.py",
        "integration/test_http_api_admission.py",
        "integration/test_http_api_costly.py",
        "integration/test_http_api_deliveries.py",
        "integration/test_http_api_failed_tokens.py",
        "integration/test_http_api_webhook_keys.py",
        "integration/test_http_client_bad_servers.py",
        "integration/test_http_client_name_lookups.py",
        "integration/test_image_memory.py",
        "integration/test_ledger_properties.py",
        "integration/test_list_pages.py",
        "integration/test_local_siblings.py",
        "integration/test_pipeline_shares.py",
        "integration/test_pipeline_names.py",
        "integration/test_reads_when_full.py",
        "integration/test_redis_clock.py",
        "integration/test_runbook_commands.py",
        "integration/test_server_faults.py",
        "integration/test_token_request_clock.py",
        "integration/test_two_local_fleets.py",
        "integration/test_unread.py",
        "integration/test_webhook_events.py",
        "unit/test_api_quick_check.py",
        "unit/test_chaos_schedule.py",
        "unit/test_cli_poll_plan.py",
        "unit/test_decision_properties.py",
        "unit/test_docs_generated.py",
        "unit/test_hub_monitor.py",
        "unit/test_odd_answers.py",
        "unit/test_private_names.py",
        "unit/test_schedule_bench.py",
        "unit/test_simulation.py",
    }
)


#: Tests of other files that wait for a timeout, or try thousands of inputs.
SLOW_TESTS: Final = frozenset(
    {
        "integration/test_advance_client.py::test_whatever_bytes_the_vendor_sends_are_an_answer",
        "integration/test_api_rate_limit_threads.py::test_reads_continue_while_redis_is_full",
        "integration/test_client_alone.py::test_the_settings_of_the_client_are_those_of_the_fleet",
        "integration/test_decision_feed.py::test_no_position_goes_back_with_the_clock",
        "integration/test_http_api.py::test_a_page_looks_at_a_bounded_number_and_leads_on",
        "integration/test_http_api.py::test_decisions_come_in_order_with_their_bytes_and_a_cursor_survives_a_restart",
        "integration/test_http_api.py::test_pages_of_any_size_have_each_verification_once",
        "integration/test_http_client.py::test_a_bomb_is_not_unpacked_beyond_what_is_allowed",
        "integration/test_local_decisions.py::test_every_scenario_of_the_sandbox_ends_as_its_catalogue_says",
        "integration/test_redis_transport.py::test_a_server_that_is_not_there_or_says_nothing_is_a_connection_error",
        "integration/test_redis_transport.py::test_a_wrong_password_is_said_to_be_one",
        "integration/test_sandbox_contract.py::test_our_client_gets_the_images_that_an_example_promises",
        "integration/test_sandbox_contract.py::test_our_client_hears_what_an_example_promises",
        "integration/test_timeline.py::test_whatever_happens_steps_stay_and_no_fault_is_uncounted",
        "integration/test_token_cache.py::test_a_minter_that_is_killed_is_succeeded_within_seconds",
        "integration/test_webhook_sender.py::test_a_slow_receiver_gets_a_delivery_once_over_a_connection_that_was_idle",
        "unit/test_answers.py::test_every_exchange_becomes_an_answer_and_only_a_whole_success_settles",
        "unit/test_answers.py::test_no_retry_after_is_beyond_its_bounds_or_raises",
        "unit/test_api_bodies.py::test_what_json_is_comes_back_as_it_was",
        "unit/test_app.py::test_a_ready_worker_collects_rarely_and_nothing_that_it_has_loaded",
        "unit/test_cli_spreadsheets.py::test_memory_does_not_grow_with_the_file",
        "unit/test_decision_check.py::test_each_key_of_any_file_is_on_the_line_where_it_is",
        "unit/test_decision_check.py::test_the_time_to_find_lines_grows_with_the_file_and_no_faster",
        "unit/test_decision_facts.py::test_whatever_an_answer_says_it_fits_and_comes_back",
        "unit/test_decision_table.py::test_whatever_a_file_holds_it_is_refused_with_lines",
        "unit/test_demo_pipeline.py::test_it_takes_decisions_of_whatever_name_and_writes_each_down_on_a_line",
        "unit/test_enqueue_rules.py::test_both_accept_and_refuse_the_same_and_say_the_same",
        "unit/test_enqueue_rules.py::test_both_keep_the_same_name_of_a_pipeline",
        "unit/test_enqueue_rules.py::test_both_keep_the_same_of_a_context",
        "unit/test_instrumentation.py::test_what_is_off_is_not_imported",
        "unit/test_policy_rules.py::test_no_mixture_of_faults_outlives_the_deadline",
        "unit/test_schemas_result.py::test_a_mapping_nested_without_end_is_read_or_refused",
        "unit/test_schemas_siblings.py::test_any_json_in_the_parts_of_siblings_is_read_or_refused",
        "unit/test_signatures.py::test_the_module_needs_the_standard_library_only",
        "unit/test_webhook_rules.py::test_a_try_ends_within_a_lease",
    }
)

_FILES_OF_QUICK: Final = frozenset(name.partition("::")[0] for name in QUICK)
_FILES_OF_SLOW_TESTS: Final = frozenset(name.partition("::")[0] for name in SLOW_TESTS)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files of which the run needs no test, because each worker of pytest imports what it collects."""
    file = _named(collection_path)
    if (
        file is None
        or collection_path.suffix != ".py"
        or collection_path.name in {"__init__.py", "conftest.py"}
    ):
        return None
    return True if is_ignored(file, config.option.markexpr) else None


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


def _named(path: Path) -> str | None:
    """The name of a file of the tests in the tables above. None: it is elsewhere."""
    return path.relative_to(_TESTS).as_posix() if path.is_relative_to(_TESTS) else None


def _slow_by_default(file: str) -> bool:
    return file.partition("/")[0] in SLOW_FOLDERS or file in SLOW_FILES
