//! The Lovage broker on SQLite.
