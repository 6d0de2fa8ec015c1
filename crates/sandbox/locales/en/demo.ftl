# Pages of the demo app.
