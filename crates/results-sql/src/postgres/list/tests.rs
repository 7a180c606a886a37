//! The plans of the statements.
