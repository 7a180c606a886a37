//! The in-process reference broker of Lovage, and the oracle that other brokers are compared with.
