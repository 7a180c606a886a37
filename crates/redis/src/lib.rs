//! One set-up of Redis connections for Lovage: URL, credentials, reconnects, scripts.
