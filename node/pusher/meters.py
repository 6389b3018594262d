"""The program's metrics. Names, labels and buckets are those that the public platform's rules and dashboards read."""

from __future__ import annotations

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

FILES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
BUNDLE_BYTES = tuple(10.0**n for n in range(3, 10))
FILE_BYTES = tuple(10.0**n for n in range(1, 10))
JSONL_BYTES = tuple(10.0**n for n in range(2, 9))
RETRY_SECONDS = (
    *(0.1, 0.15, 0.25, 0.4, 0.6, 1, 1.5, 2.5, 4, 6, 10, 15, 25, 40, 60, 100, 150, 250, 400, 600, 1000, 1500, 2500),
    *(4000, 6000),
)
REASONS = ("age_threshold_met", "size_threshold_met", "emergency_upload")
IGNORED = ("open", "link", "kind", "name", "size")


class Meters:
    """What is counted. Children of labels exist from the start, at 0."""

    def __init__(self, registry: prometheus_client.CollectorRegistry, datatypes: tuple[str, ...]) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"pusher_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"pusher_{name}", meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, meaning, labels, buckets=buckets, registry=registry)

        self.events = counter("file_events_total", "Files that were closed or moved in.", "type")
        self.event_errors = counter("file_event_errors_total", "Such files that could not be opened.", "type")
        self.finder_runs = counter("finder_runs_total", "Searches for files that no event told of.")
        self.finder_files = counter("finder_files_found_total", "Files that were found so.")
        self.finder_bytes = counter("finder_bytes_found_total", "Their bytes.")
        self.finder_oldest = gauge("finder_mtime_lower_bound", "Nothing is older than this.", "datatype")
        self.strange = counter("strange_filenames_total", "Files with odd names.", "datatype")
        self.open_errors = counter("file_open_errors_total", "Files that could not be opened.", "datatype")
        self.read_errors = counter("file_read_errors_total", "Files that changed or could not be read.", "datatype")
        self.added = counter("files_added_total", "Files that were packed.", "datatype")
        self.skipped = counter("files_skipped_total", "Files that sampling left out.", "datatype")
        self.empty = counter("empty_uploads_total", "Uploads of nothing; there are none.", "datatype")
        self.created = counter("tarfiles_created_total", "Bundles begun.", "datatype")
        self.uploaded = counter("tarfiles_successful_uploads_total", "Bundles stored.", "datatype")
        self.upload_calls = counter("tarfiles_upload_calls_total", "Bundles sealed, and why.", "datatype", "reason")
        self.duplicates = counter("tarfiles_duplicates_total", "Files seen twice.", "datatype", "condition")
        self.removed = counter("files_removed_total", "Files deleted.", "datatype", "condition")
        self.remove_errors = counter("file_remove_errors_total", "Deletions that failed.", "datatype", "condition")
        self.success = gauge("success_timestamp", "When a bundle was last stored.", "datatype")
        self.files_per_bundle = histogram("pusher_files_per_tarfile", "Files of a bundle.", FILES, "datatype")
        self.bytes_per_bundle = histogram("pusher_bytes_per_tarfile", "Bytes of a bundle.", BUNDLE_BYTES, "datatype")
        self.bytes_per_file = histogram("pusher_bytes_per_file", "Bytes of a file.", FILE_BYTES, "datatype")
        self.jsonl_bytes = histogram("jostler_bytes_per_bundle", "Bytes of a JSONL object.", JSONL_BYTES, "datatype")
        self.retries = counter("retries_total", "Attempts that failed.", "function")
        self.max_retries = counter("max_retries_total", "Attempts that failed after the longest wait.", "function")
        self.retry_runtime = histogram(
            "pusher_retry_runtime", "Until the end of retries.", RETRY_SECONDS, "kind", "success"
        )
        self.queue = gauge("queue_length", "Files that wait to be packed.", "datatype")
        self.oldest = gauge("oldest_pending_seconds", "Age of the oldest bundle that is not stored.", "datatype")
        self.waiting_bytes = gauge("unstored_bytes", "Compressed bytes that are not stored.", "datatype")
        self.in_flight = gauge("uploads_in_flight", "Attempts that run.", "datatype")
        self.refused = counter("uploads_refused_total", "Answers that retries do not cure.", "datatype")
        self.recovered = counter("bundles_recovered_total", "Bundles of a run that was killed.", "datatype", "how")
        self.renamed = counter("bundles_repacked_total", "Bundles whose name was taken or content lost.", "datatype")
        self.quarantined = counter("files_quarantined_total", "Files moved aside.", "datatype")
        self.ignored = counter("files_ignored_total", "Files left where they are.", "datatype", "reason")
        self.watch_problems = counter("watch_problems_total", "Folders listed again, and why.", "datatype", "reason")
        self.disk_refusals = counter("disk_refusals_total", "Contents that the disk did not take.", "datatype")
        self.drain_s = gauge("drain_seconds", "Time that the end took.")
        self.descriptors = gauge("open_descriptors_ratio", "Open descriptors of those that the system permits.")
        for kind in ("closewrite", "movedto", "unknown"):
            self.events.labels(kind)
        self.event_errors.labels("open")
        self.retries.labels("upload")
        self.max_retries.labels("upload")
        for datatype in datatypes:
            for metric in (
                *(self.finder_oldest, self.strange, self.open_errors, self.read_errors, self.added, self.skipped),
                *(self.empty, self.created, self.uploaded, self.success, self.files_per_bundle),
                *(self.bytes_per_bundle, self.bytes_per_file, self.queue, self.oldest, self.waiting_bytes),
                *(self.in_flight, self.refused, self.renamed, self.quarantined, self.disk_refusals),
            ):
                metric.labels(datatype)
            for reason in REASONS:
                self.upload_calls.labels(datatype, reason)
            for reason in IGNORED:
                self.ignored.labels(datatype, reason)
            for reason in ("overflows", "exhausted_watches", "exhausted_descriptors", "refused"):
                self.watch_problems.labels(datatype, reason)
            for how in ("stored", "content", "repacked", "given_up"):
                self.recovered.labels(datatype, how)
            for condition in ("add_file", "skip_file"):
                for metric in (self.duplicates, self.removed, self.remove_errors):
                    metric.labels(datatype, condition)
