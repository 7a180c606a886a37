//! Lovage results in SQLite, to be kept, filtered and joined.
