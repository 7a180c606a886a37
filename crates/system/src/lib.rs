//! The one place where Lovage reads the real clock, the system's randomness and the host.
