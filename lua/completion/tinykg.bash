_tinykg() {
    local IFS=$' \t\n'
    local args cur prev cmd opts arg
    args=("${COMP_WORDS[@]}")
    cur="${COMP_WORDS[COMP_CWORD]}"
    prev="${COMP_WORDS[COMP_CWORD-1]}"
    opts="-h --help"

    args=("${args[@]:1}")
    for arg in "${args[@]}"; do
        case "$arg" in
            run)
                cmd="run"
                opts="$opts --data --set --data-set --grid --search --bits --budget --sensitivity --rounding --device --seed --threads --jobs --out --extend --checkpoint --resume --from --force --trust --steps --check --profile --tensorboard --quiet --json --report"
                break
                ;;
            memory)
                cmd="memory"
                opts="$opts --data --set --data-set --bits --budget --sensitivity --device-memory --sizes --ranks --rounding --device --threads --seed --traffic --all --json"
                break
                ;;
            sensitivity)
                cmd="sensitivity"
                opts="$opts --to --batches --data --trust --device --threads"
                break
                ;;
            runs)
                cmd="runs"
                opts="$opts --json"
                break
                ;;
            eval)
                cmd="eval"
                opts="$opts --part --k --users --negatives --data --trust --device --threads --json"
                break
                ;;
            check)
                cmd="check"
                opts="$opts --data --no-data --json"
                break
                ;;
            recommend)
                cmd="recommend"
                opts="$opts --user --new --likes --users -k --exclude --only --all --id -o --data --trust --device --threads --json"
                break
                ;;
            similar)
                cmd="similar"
                opts="$opts --item --user -k --id --data --trust --device --threads --json"
                break
                ;;
            explain)
                cmd="explain"
                opts="$opts --user --item --paths --length --id --data --trust --device --threads --json"
                break
                ;;
            export)
                cmd="export"
                opts="$opts --to --which --only --vectors --data --no-names --trust --device --threads"
                break
                ;;
            report)
                cmd="report"
                opts="$opts -o --output --growth --json"
                break
                ;;
            data)
                cmd="data"
                opts="$opts"
                args=("${args[@]:1}")
                for arg in "${args[@]}"; do
                    case "$arg" in
                        info)
                            cmd="$cmd info"
                            opts="$opts --data-set --json"
                            break
                            ;;
                        head)
                            cmd="$cmd head"
                            opts="$opts -n --data-set --json"
                            break
                            ;;
                        user)
                            cmd="$cmd user"
                            opts="$opts -n --data-set --json --id"
                            break
                            ;;
                        entity)
                            cmd="$cmd entity"
                            opts="$opts -n --data-set --json --id"
                            break
                            ;;
                        convert)
                            cmd="$cmd convert"
                            opts="$opts --of --data --to --gzip --whole --force --data-set"
                            break
                            ;;
                        demo)
                            cmd="$cmd demo"
                            opts="$opts --users --items --seed"
                            break
                            ;;
                    esac
                done
                break
                ;;
            bench)
                cmd="bench"
                opts="$opts --quick --json --data --device --threads --recipe --set --bits --traffic --steps --out"
                break
                ;;
            demo)
                cmd="demo"
                opts="$opts"
                break
                ;;
            doctor)
                cmd="doctor"
                opts="$opts --ops --json"
                break
                ;;
            help)
                cmd="help"
                opts="$opts"
                break
                ;;
        esac
    done

    case "$cmd" in
        '')
            COMPREPLY=($(compgen -W "run memory sensitivity runs eval check recommend similar explain export report data bench demo doctor help" -- "$cur"))
            ;;
        'run')
            case "$prev" in
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --set)
                    COMPREPLY=()
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=()
                    return 0
                    ;;
                --grid)
                    COMPREPLY=()
                    return 0
                    ;;
                --search)
                    COMPREPLY=()
                    return 0
                    ;;
                --bits)
                    COMPREPLY=()
                    return 0
                    ;;
                --budget)
                    COMPREPLY=()
                    return 0
                    ;;
                --sensitivity)
                    COMPREPLY=()
                    return 0
                    ;;
                --rounding)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --seed)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
                --jobs)
                    COMPREPLY=()
                    return 0
                    ;;
                --out)
                    COMPREPLY=()
                    return 0
                    ;;
                --extend)
                    COMPREPLY=()
                    return 0
                    ;;
                --checkpoint)
                    COMPREPLY=()
                    return 0
                    ;;
                --from)
                    COMPREPLY=()
                    return 0
                    ;;
                --steps)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'memory')
            case "$prev" in
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --set)
                    COMPREPLY=()
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=()
                    return 0
                    ;;
                --bits)
                    COMPREPLY=()
                    return 0
                    ;;
                --budget)
                    COMPREPLY=()
                    return 0
                    ;;
                --sensitivity)
                    COMPREPLY=()
                    return 0
                    ;;
                --device-memory)
                    COMPREPLY=()
                    return 0
                    ;;
                --sizes)
                    COMPREPLY=()
                    return 0
                    ;;
                --ranks)
                    COMPREPLY=()
                    return 0
                    ;;
                --rounding)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
                --seed)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'sensitivity')
            case "$prev" in
                --to)
                    COMPREPLY=()
                    return 0
                    ;;
                --batches)
                    COMPREPLY=()
                    return 0
                    ;;
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'eval')
            case "$prev" in
                --part)
                    COMPREPLY=()
                    return 0
                    ;;
                --k)
                    COMPREPLY=()
                    return 0
                    ;;
                --users)
                    COMPREPLY=()
                    return 0
                    ;;
                --negatives)
                    COMPREPLY=()
                    return 0
                    ;;
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'check')
            case "$prev" in
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'recommend')
            case "$prev" in
                --user)
                    COMPREPLY=()
                    return 0
                    ;;
                --likes)
                    COMPREPLY=()
                    return 0
                    ;;
                --users)
                    COMPREPLY=()
                    return 0
                    ;;
                -k)
                    COMPREPLY=()
                    return 0
                    ;;
                --exclude)
                    COMPREPLY=()
                    return 0
                    ;;
                --only)
                    COMPREPLY=()
                    return 0
                    ;;
                -o)
                    COMPREPLY=()
                    return 0
                    ;;
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'similar')
            case "$prev" in
                --item)
                    COMPREPLY=()
                    return 0
                    ;;
                --user)
                    COMPREPLY=()
                    return 0
                    ;;
                -k)
                    COMPREPLY=()
                    return 0
                    ;;
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'explain')
            case "$prev" in
                --user)
                    COMPREPLY=()
                    return 0
                    ;;
                --item)
                    COMPREPLY=()
                    return 0
                    ;;
                --paths)
                    COMPREPLY=()
                    return 0
                    ;;
                --length)
                    COMPREPLY=()
                    return 0
                    ;;
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'export')
            case "$prev" in
                --to)
                    COMPREPLY=()
                    return 0
                    ;;
                --which)
                    COMPREPLY=($(compgen -W "best last" -- "$cur"))
                    return 0
                    ;;
                --only)
                    COMPREPLY=()
                    return 0
                    ;;
                --vectors)
                    COMPREPLY=($(compgen -W "users items both" -- "$cur"))
                    return 0
                    ;;
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'report')
            case "$prev" in
                -o|--output)
                    COMPREPLY=()
                    return 0
                    ;;
                --growth)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'data')
            COMPREPLY=($(compgen -W "info head user entity convert demo" -- "$cur"))
            ;;
        'data info')
            case "$prev" in
                --data-set)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'data head')
            case "$prev" in
                -n)
                    COMPREPLY=()
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'data user')
            case "$prev" in
                -n)
                    COMPREPLY=()
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'data entity')
            case "$prev" in
                -n)
                    COMPREPLY=()
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'data convert')
            case "$prev" in
                --of)
                    COMPREPLY=()
                    return 0
                    ;;
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --to)
                    COMPREPLY=($(compgen -W "kgat kgcn recbole plain" -- "$cur"))
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'data demo')
            case "$prev" in
                --users)
                    COMPREPLY=()
                    return 0
                    ;;
                --items)
                    COMPREPLY=()
                    return 0
                    ;;
                --seed)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
        'bench')
            case "$prev" in
                --data)
                    COMPREPLY=()
                    return 0
                    ;;
                --device)
                    COMPREPLY=()
                    return 0
                    ;;
                --threads)
                    COMPREPLY=()
                    return 0
                    ;;
                --recipe)
                    COMPREPLY=()
                    return 0
                    ;;
                --set)
                    COMPREPLY=()
                    return 0
                    ;;
                --bits)
                    COMPREPLY=()
                    return 0
                    ;;
                --steps)
                    COMPREPLY=()
                    return 0
                    ;;
                --out)
                    COMPREPLY=()
                    return 0
                    ;;
            esac

            ;;
    esac

    case "$cmd" in
        'bench')
            COMPREPLY=($(compgen -W "ops codec step overhead load eval growth ranks all" -- "$cur"))
            ;;
        'help')
            COMPREPLY=($(compgen -W "run memory sensitivity runs eval check recommend similar explain export report data bench demo doctor" -- "$cur"))
            ;;
        'memory')
            COMPREPLY=($(compgen -W "bpr-mf cfkg ckan cke diffkg kgat kgcl kgcn kgin kgnn-ls kgrec ktup lightgcn mcclk mkr ripplenet sgl text-features" -- "$cur"))
            ;;
        'run')
            COMPREPLY=($(compgen -W "bpr-mf cfkg ckan cke diffkg kgat kgcl kgcn kgin kgnn-ls kgrec ktup lightgcn mcclk mkr ripplenet sgl text-features" -- "$cur"))
            ;;
    esac

    if [[ "$cur" = -* ]]; then
        COMPREPLY=($(compgen -W "$opts" -- "$cur"))
    fi
}

complete -F _tinykg -o bashdefault -o default tinykg
