"""Text and variables to values: tags, expr, `when`, `depends`, sequences. Pure: time and chance come in as a value."""
