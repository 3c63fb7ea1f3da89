"""The console: pages in `web` for people without a shell. Rendered on the server; see docs/console.md."""
