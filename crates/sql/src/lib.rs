//! One handle to the SQL databases of Lovage: connection set-up and migrations.
