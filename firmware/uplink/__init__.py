"""From the journal to the collector: links, requests, and the words that release data."""
