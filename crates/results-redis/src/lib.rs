//! Short-lived Lovage results on Redis.
