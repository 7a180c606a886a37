//! The worker runtime of Lovage as a library.
