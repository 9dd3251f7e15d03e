"""The job queue: builds that are asked for over HTTP, run beside the service."""
