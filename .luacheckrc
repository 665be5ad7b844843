std = 'luajit+busted'
max_line_length = 100
cache = false
exclude_files = { 'build' }
