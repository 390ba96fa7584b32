"""Command line of Chốt: one file a command, each thin over a public function."""
