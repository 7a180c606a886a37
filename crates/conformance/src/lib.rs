//! The one suite that every Lovage broker and store must pass.
