//! Fake clock, seeded randomness, factories, faults, and inline and recording clients for tests of Lovage and of its users.
