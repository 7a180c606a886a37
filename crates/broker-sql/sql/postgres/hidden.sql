-- What tasks hide.
SELECT task, marks FROM lovage_hidden
