//! The Lovage broker on Redis.
