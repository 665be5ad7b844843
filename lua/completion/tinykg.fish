function __fish_tinykg_print_command
    set -l cmdline (commandline -poc)
    set -l cmd
    set -e cmdline[1]
    for arg in $cmdline
        switch $arg
            case run
                set cmd $cmd run
                break
            case memory
                set cmd $cmd memory
                break
            case sensitivity
                set cmd $cmd sensitivity
                break
            case runs
                set cmd $cmd runs
                break
            case eval
                set cmd $cmd eval
                break
            case check
                set cmd $cmd check
                break
            case recommend
                set cmd $cmd recommend
                break
            case similar
                set cmd $cmd similar
                break
            case explain
                set cmd $cmd explain
                break
            case export
                set cmd $cmd export
                break
            case report
                set cmd $cmd report
                break
            case data
                set cmd $cmd data
                set -e cmdline[1]
                for arg in $cmdline
                    switch $arg
                        case info
                            set cmd $cmd info
                            break
                        case head
                            set cmd $cmd head
                            break
                        case user
                            set cmd $cmd user
                            break
                        case entity
                            set cmd $cmd entity
                            break
                        case convert
                            set cmd $cmd convert
                            break
                        case demo
                            set cmd $cmd demo
                            break
                    end
                end
                break
            case bench
                set cmd $cmd bench
                break
            case demo
                set cmd $cmd demo
                break
            case doctor
                set cmd $cmd doctor
                break
            case help
                set cmd $cmd help
                break
        end
    end
    echo "$cmd"
end

function __fish_tinykg_using_command
    test (__fish_tinykg_print_command) = "$argv"
    and return 0
    or return 1
end

function __fish_tinykg_seen_command
    string match -q "$argv*" (__fish_tinykg_print_command)
    and return 0
    or return 1
end

complete -c tinykg -n '__fish_tinykg_using_command' -xa 'run' -d 'Train a recipe and evaluate it'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'memory' -d 'Plan a run of a recipe at 32, 8, 4, 2 and 1 bits and show what memory it takes and whether that is free, or what would be chosen to fit a budget'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'sensitivity' -d 'Measure how sensitive the gradients of a trained model are to noise in each kept value, for --sensitivity of run and memory'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'runs' -d 'List runs, the latest last: recipe, data set, bits, seed, a metric of the test part, when they began, and bytes of the folder'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'eval' -d 'Metrics of finished or interrupted runs, with the parameters of their best epoch'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'check' -d 'Checks each file of a run: whether it is whole (checksums; a damaged tensor is named) and fits the
others, and whether the data set is what it was when the run began'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'recommend' -d 'Lists the best items for a user by the model\'s scores, without items of train and validation'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'similar' -d 'Lists the items most like an item, or the users most like a user, by the cosine of their vectors, or of their scores where a model has no vectors'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'explain' -d 'Shows the paths in the graph from a user to an item that carried its score: items that the user
took, entities that lead from there to the item, and relations between them'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'export' -d 'Writes the parameters of a run for other programs'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'report' -d 'Compare runs on one self-contained page: metrics, learning curves, memory, settings; or in a table'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'data' -d 'Look at a data set, convert it, or generate one'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'bench' -d 'Speed on this machine, as ratios within one run'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'demo' -d 'Generate a data set, train KGIN at 32 and at 2 bits beside models that see no graph, show accuracy and memory'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'doctor' -d 'Print versions, device, threads and libraries, what is missing and how to get it'
complete -c tinykg -n '__fish_tinykg_using_command' -xa 'help' -d 'the page of a command'
complete -c tinykg -s h -l help -d 'Show this help message and exit'

complete -c tinykg -n '__fish_tinykg_seen_command run' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l data -r -d 'a data set; its format is recognised'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l set -r -d 'an option of the recipe, key=value; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l data-set -r -d 'an option of the data set (split, at, kcore, kg, attributes, ...); repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l grid -r -d 'several values of an option, or of bits and rounding; repeatable; with --search also a range: KEY=A..B, KEY=A..B:log, KEY=A..B:int'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l search -r -d 'draw points of the grid, the best by validation is printed with its command: random=N trains N points (20), asha=N stops bad ones early (successive halving), ask takes points from standard input as lines of JSON'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l bits -r -d 'how kept activations are stored: 32, 8, 4, 2, 1, or auto: the most for each value that fit (default: 32; with --budget: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l budget -r -d 'most memory that the run may take: 2GiB, 500MB, ...: what was not asked for is chosen so that it fits, --bits too (without: nine tenths of what is free)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l sensitivity -r -d 'how sensitive gradients are to each saved value, for choosing bits'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l rounding -r -d 'dither, dither-independent, stochastic or nearest (default: dither)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l seed -r -d 'seeds of training, separated by commas (default: 1); the seed of the split is --data-set seed= (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l threads -r -d '0 = one per core (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l jobs -r -d 'how many runs of a sweep at a time (default: 1)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l out -r -d 'folder of the run (default: runs/RECIPE-DATA-BITS-SEED-SETTINGS) or of the sweep'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l extend -r -d 'begin with the parameters of a trained run, by name: its data set may have got new users, items, entities; recipe and settings are that run\'s unless given'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l checkpoint -r -d 'minutes from one checkpoint to the next within an epoch (default: 5)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l resume -d 'go on with the run or the sweep in --out, with its settings; without --out: the latest one in runs/ that was begun with what else is given and is not finished, or if there is none, the latest finished one'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l from -r -d 'with --resume: last, or last-1, the checkpoint before it (default: last)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l force -d 'begin anew in --out; files of a run that is there move to previous/'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l trust -d 'run the recipe of the folder, which is a program, whoever owns it'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l steps -r -d 'stop each epoch after this many steps, for a quick look'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l check -d 'check each value and stop at the first NaN or infinity (slow)'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l profile -d 'print where the time goes, by op, beside what the machine can do; profile.json and trace.json (for ui.perfetto.dev) in the folder of the run have more'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l tensorboard -d 'write event files for TensorBoard into the folder of the run'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l quiet -d 'print the result only'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l json -d 'print an object per run when it has ended, alone in its line: what is in summary.json, folder and state'
complete -c tinykg -n '__fish_tinykg_seen_command run' -l report -d 'print what the step keeps for backward'

complete -c tinykg -n '__fish_tinykg_seen_command memory' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l data -r -d 'a data set; its format is recognised'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l set -r -d 'an option of the recipe, key=value; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l data-set -r -d 'an option of the data set (split, at, kcore, kg, attributes, ...); repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l bits -r -d 'this width only: 32, 8, 4, 2, 1; or auto: the most that fit, for each kept value'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l budget -r -d 'most memory that the run may take: 2GiB, 500MB, ...: what was not asked for is chosen so that it fits, --bits too (without: nine tenths of what is free)'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l sensitivity -r -d 'how sensitive gradients are to each saved value, for choosing bits'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l device-memory -r -d 'plan for a GPU with so much memory, which need not be there; what its driver takes is part of that'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l sizes -r -d 'instead of --data, of a set that is not there: users, items, interactions and entities, relations, triples; from plans of two generated sets'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l ranks -r -d 'plan for one of so many processes of mpirun, which need not be there'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l rounding -r -d 'dither, dither-independent, stochastic or nearest (default: dither)'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l threads -r -d '0 = one per core (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l seed -r -d 'seed of the model\'s random constants (default: 1)'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l traffic -d 'also, by op, what the step that moves most moves through memory, what no plan of its ops does without, and what it launches'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l all -d 'list all kept values, not only the largest'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -l json -d 'print an object with memory, kept and columns as in summary.json, and all widths'

complete -c tinykg -n '__fish_tinykg_seen_command sensitivity' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command sensitivity' -l to -r -d 'the file to write, JSON'
complete -c tinykg -n '__fish_tinykg_seen_command sensitivity' -l batches -r -d 'how many batches to measure (default: 4)'
complete -c tinykg -n '__fish_tinykg_seen_command sensitivity' -l data -r -d 'where the data set of the run is now, if it has moved'
complete -c tinykg -n '__fish_tinykg_seen_command sensitivity' -l trust -d 'run the recipe of the folder, which is a program, whoever owns it'
complete -c tinykg -n '__fish_tinykg_seen_command sensitivity' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command sensitivity' -l threads -r -d '0 = one per core (default: 0)'

complete -c tinykg -n '__fish_tinykg_seen_command runs' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command runs' -l json -d 'print an object per run'

complete -c tinykg -n '__fish_tinykg_seen_command eval' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l part -r -d 'test, valid or train (default: test)'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l k -r -d 'lengths of the list of recommended items (default: 10,20)'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l users -r -d 'rank so many users only, drawn by the run\'s seed; 0: all (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l negatives -r -d 'full; or uni100, pop100: 100 items sampled for each one to be found (default: full)'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l data -r -d 'where the data set of the run is now, if it has moved'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l trust -d 'run the recipe of the folder, which is a program, whoever owns it'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l threads -r -d '0 = one per core (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command eval' -l json -d 'print JSON'

complete -c tinykg -n '__fish_tinykg_seen_command check' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command check' -l data -r -d 'where the data set of the run is now, if it has moved'
complete -c tinykg -n '__fish_tinykg_seen_command check' -l no-data -d 'do not load the data set'
complete -c tinykg -n '__fish_tinykg_seen_command check' -l json -d 'print an object per run'

complete -c tinykg -n '__fish_tinykg_seen_command recommend' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l user -r -d 'the user, by the data set\'s own name; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l new -d 'a list for somebody who is not in the data set'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l likes -r -d 'items that somebody new likes, or entities of the graph, such as an author (FILE: one per line); repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l users -r -d 'many users: all, or a file with one per line (-: standard input); prints TSV'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -s k -r -d 'how many items (default: 20)'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l exclude -r -d 'items not to list; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l only -r -d 'list no other items than these; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l all -d 'list items of train and validation too, marked'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l id -d 'users and items are numbers, from 0'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -s o -r -d 'with --users: the file to write'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l data -r -d 'where the data set of the run is now, if it has moved'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l trust -d 'run the recipe of the folder, which is a program, whoever owns it'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l threads -r -d '0 = one per core (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command recommend' -l json -d 'print JSON'

complete -c tinykg -n '__fish_tinykg_seen_command similar' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -l item -r -d 'an item, by name or title'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -l user -r -d 'a user, by the data set\'s own name'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -s k -r -d 'how many (default: 20)'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -l id -d 'the item or user is a number, from 0'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -l data -r -d 'where the data set of the run is now, if it has moved'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -l trust -d 'run the recipe of the folder, which is a program, whoever owns it'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -l threads -r -d '0 = one per core (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command similar' -l json -d 'print JSON'

complete -c tinykg -n '__fish_tinykg_seen_command explain' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l user -r -d 'the user, by the data set\'s own name'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l item -r -d 'the item, by its name or title'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l paths -r -d 'how many paths (default: 10)'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l length -r -d 'edges of a path, at most: 2, 3 or 4 (default: 4)'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l id -d 'user and item are numbers, from 0'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l data -r -d 'where the data set of the run is now, if it has moved'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l trust -d 'run the recipe of the folder, which is a program, whoever owns it'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l threads -r -d '0 = one per core (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command explain' -l json -d 'print JSON'

complete -c tinykg -n '__fish_tinykg_seen_command export' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l to -r -d 'the file to write'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l which -xa 'best last' -d 'parameters of the best epoch, or the last ones (default: best)'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l only -r -d 'parameters whose names fit, as users.*; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l vectors -xa 'users items both' -d 'the final vectors of users, items or both, in place of parameters: a score is the dot product of a user\'s and an item\'s'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l data -r -d 'where the data set is now, if it has moved: for --vectors, and for runs of older versions, which lack its names'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l no-names -d 'row numbers only'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l trust -d 'run the recipe of the folder, which is a program, whoever owns it'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command export' -l threads -r -d '0 = one per core (default: 0)'

complete -c tinykg -n '__fish_tinykg_seen_command report' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command report' -s o -l output -r -d 'the page to write (report.html); FILE.csv, FILE.md, FILE.tex: the comparison as a table'
complete -c tinykg -n '__fish_tinykg_seen_command report' -l growth -r -d 'growth.json of tinykg bench growth --out: its charts go on the page'
complete -c tinykg -n '__fish_tinykg_seen_command report' -l json -d 'print the comparison as JSON; without -o, write no page'

complete -c tinykg -n '__fish_tinykg_using_command data' -xa 'info' -d 'counts, density, degrees, splits, dropped rows'
complete -c tinykg -n '__fish_tinykg_using_command data' -xa 'head' -d 'its first interactions and triples, by name'
complete -c tinykg -n '__fish_tinykg_using_command data' -xa 'user' -d 'what a user took, and in which part it is'
complete -c tinykg -n '__fish_tinykg_using_command data' -xa 'entity' -d 'an item\'s or an entity\'s triples, and who took it'
complete -c tinykg -n '__fish_tinykg_using_command data' -xa 'convert' -d 'write a data set in another format'
complete -c tinykg -n '__fish_tinykg_using_command data' -xa 'demo' -d 'write a data set whose graph explains what people watch'
complete -c tinykg -n '__fish_tinykg_seen_command data' -s h -l help -d 'Show this help message and exit'

complete -c tinykg -n '__fish_tinykg_seen_command data info' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command data info' -l data-set -r -d 'an option of the data set (split, kcore, seed, ...), key=value; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command data info' -l json -d 'print an object with all counts'

complete -c tinykg -n '__fish_tinykg_seen_command data head' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command data head' -s n -r -d 'how many rows of each kind; 0: all (default: 10)'
complete -c tinykg -n '__fish_tinykg_seen_command data head' -l data-set -r -d 'an option of the data set, key=value; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command data head' -l json -d 'print an object'

complete -c tinykg -n '__fish_tinykg_seen_command data user' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command data user' -s n -r -d 'how many rows of each kind; 0: all (default: 10)'
complete -c tinykg -n '__fish_tinykg_seen_command data user' -l data-set -r -d 'an option of the data set, key=value; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command data user' -l json -d 'print an object'
complete -c tinykg -n '__fish_tinykg_seen_command data user' -l id -d 'the user is a number, from 0'

complete -c tinykg -n '__fish_tinykg_seen_command data entity' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command data entity' -s n -r -d 'how many rows of each kind; 0: all (default: 10)'
complete -c tinykg -n '__fish_tinykg_seen_command data entity' -l data-set -r -d 'an option of the data set, key=value; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command data entity' -l json -d 'print an object'
complete -c tinykg -n '__fish_tinykg_seen_command data entity' -l id -d 'the entity is a number, from 0'

complete -c tinykg -n '__fish_tinykg_seen_command data convert' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command data convert' -l of -r -d 'the data set of a run as it was loaded, with its options and split'
complete -c tinykg -n '__fish_tinykg_seen_command data convert' -l data -r -d 'with --of: where the data set of the run is now, if it has moved'
complete -c tinykg -n '__fish_tinykg_seen_command data convert' -l to -xa 'kgat kgcn recbole plain' -d 'kgat (KGIN reads it too), kgcn (RippleNet too), recbole or plain (CSV)'
complete -c tinykg -n '__fish_tinykg_seen_command data convert' -l gzip -d 'compress each file'
complete -c tinykg -n '__fish_tinykg_seen_command data convert' -l whole -d 'one file of interactions without the split (recbole, plain)'
complete -c tinykg -n '__fish_tinykg_seen_command data convert' -l force -d 'write even if the folder has other files'
complete -c tinykg -n '__fish_tinykg_seen_command data convert' -l data-set -r -d 'an option of the data set (split, kcore, seed, ...), key=value; repeatable'

complete -c tinykg -n '__fish_tinykg_seen_command data demo' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command data demo' -l users -r -d 'how many users'
complete -c tinykg -n '__fish_tinykg_seen_command data demo' -l items -r -d 'how many items'
complete -c tinykg -n '__fish_tinykg_seen_command data demo' -l seed -r -d 'the seed'

complete -c tinykg -n '__fish_tinykg_seen_command bench' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l quick -d 'tiny sizes, a few seconds: to try it out'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l json -d 'print JSON, one object per line'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l data -r -d 'measure on this data set'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l device -r -d 'auto, cpu, cuda or cuda:N (default: auto)'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l threads -r -d '0 = one per core (default: 0)'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l recipe -r -d 'step: a recipe (KGCN and KGAT); repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l set -r -d 'step: an option of the recipe, key=value; repeatable'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l bits -r -d 'step: widths (default: 32,8,2,1)'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l traffic -d 'step: what steps move through memory and launch, by op; plans them and times nothing'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l steps -r -d 'step: how many steps are timed (as many as fit in six seconds)'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -l out -r -d 'growth: a folder for pictures (SVG), a page and JSON'

complete -c tinykg -n '__fish_tinykg_seen_command demo' -s h -l help -d 'Show this help message and exit'

complete -c tinykg -n '__fish_tinykg_seen_command doctor' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command doctor' -l ops -d 'which op has a kernel on which device'
complete -c tinykg -n '__fish_tinykg_seen_command doctor' -l json -d 'print an object'

complete -c tinykg -n '__fish_tinykg_seen_command help' -s h -l help -d 'Show this help message and exit'
complete -c tinykg -n '__fish_tinykg_seen_command bench' -a 'ops codec step overhead load eval growth ranks all'
complete -c tinykg -n '__fish_tinykg_seen_command help' -a 'run memory sensitivity runs eval check recommend similar explain export report data bench demo doctor'
complete -c tinykg -n '__fish_tinykg_seen_command memory' -a 'bpr-mf cfkg ckan cke diffkg kgat kgcl kgcn kgin kgnn-ls kgrec ktup lightgcn mcclk mkr ripplenet sgl text-features'
complete -c tinykg -n '__fish_tinykg_seen_command run' -a 'bpr-mf cfkg ckan cke diffkg kgat kgcl kgcn kgin kgnn-ls kgrec ktup lightgcn mcclk mkr ripplenet sgl text-features'
