--- Opens the device of the checking runtime and prints what came of it.
print(select(2, pcall(require('tinykg').device, 'cuda')))
