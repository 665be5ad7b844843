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
                opts="$opts -h --help --data --set --data-set --grid --search --bits --budget --sensitivity --rounding --device --seed --threads --jobs --out --extend --checkpoint --resume --from --force --trust --steps --check --profile --tensorboard --quiet --json --report"
                break
                ;;
            memory)
                cmd="memory"
                opts="$opts -h --help --data --set --data-set --bits --budget --sensitivity --device-memory --sizes --ranks --rounding --device --threads --seed --traffic --all --json"
                break
                ;;
            sensitivity)
                cmd="sensitivity"
                opts="$opts -h --help --to --batches --data --trust --device --threads"
                break
                ;;
            runs)
                cmd="runs"
                opts="$opts -h --help --json"
                break
                ;;
            eval)
                cmd="eval"
                opts="$opts -h --help --part --k --users --negatives --data --trust --device --threads --json"
                break
                ;;
            check)
                cmd="check"
                opts="$opts -h --help --data --no-data --json"
                break
                ;;
            recommend)
                cmd="recommend"
                opts="$opts -h --help --user --new --likes --users -k --exclude --only --all --id -o --data --trust --device --threads --json"
                break
                ;;
            similar)
                cmd="similar"
                opts="$opts -h --help --item --user -k --id --data --trust --device --threads --json"
                break
                ;;
            explain)
                cmd="explain"
                opts="$opts -h --help --user --item --paths --length --id --data --trust --device --threads --json"
                break
                ;;
            export)
                cmd="export"
                opts="$opts -h --help --to --which --only --vectors --data --no-names --trust --device --threads"
                break
                ;;
            report)
                cmd="report"
                opts="$opts -h --help -o --output --growth --json"
                break
                ;;
            data)
                cmd="data"
                opts="$opts -h --help"
                args=("${args[@]:1}")
                for arg in "${args[@]}"; do
                    case "$arg" in
                        info)
                            cmd="$cmd info"
                            opts="$opts -h --help --data-set --json"
                            break
                            ;;
                        head)
                            cmd="$cmd head"
                            opts="$opts -h --help -n --data-set --json"
                            break
                            ;;
                        user)
                            cmd="$cmd user"
                            opts="$opts -h --help -n --data-set --json --id"
                            break
                            ;;
                        entity)
                            cmd="$cmd entity"
                            opts="$opts -h --help -n --data-set --json --id"
                            break
                            ;;
                        convert)
                            cmd="$cmd convert"
                            opts="$opts -h --help --of --data --to --gzip --whole --force --data-set"
                            break
                            ;;
                        demo)
                            cmd="$cmd demo"
                            opts="$opts -h --help --users --items --seed"
                            break
                            ;;
                    esac
                done
                break
                ;;
            bench)
                cmd="bench"
                opts="$opts -h --help --quick --json --data --device --threads --recipe --set --bits --traffic --steps --out"
                break
                ;;
            demo)
                cmd="demo"
                opts="$opts -h --help"
                break
                ;;
            doctor)
                cmd="doctor"
                opts="$opts -h --help --ops --json"
                break
                ;;
            help)
                cmd="help"
                opts="$opts -h --help"
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
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --grid)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --search)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --bits)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --budget)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --sensitivity)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --rounding)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --seed)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --jobs)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --out)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --extend)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --checkpoint)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --from)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --steps)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'memory')
            case "$prev" in
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --bits)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --budget)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --sensitivity)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device-memory)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --sizes)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --ranks)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --rounding)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --seed)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'sensitivity')
            case "$prev" in
                --to)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --batches)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'eval')
            case "$prev" in
                --part)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --k)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --users)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --negatives)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'check')
            case "$prev" in
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'recommend')
            case "$prev" in
                --user)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --likes)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --users)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                -k)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --exclude)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --only)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                -o)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'similar')
            case "$prev" in
                --item)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --user)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                -k)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'explain')
            case "$prev" in
                --user)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --item)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --paths)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --length)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'export')
            case "$prev" in
                --to)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --which)
                    COMPREPLY=($(compgen -W "best last" -- "$cur"))
                    return 0
                    ;;
                --only)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --vectors)
                    COMPREPLY=($(compgen -W "users items both" -- "$cur"))
                    return 0
                    ;;
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'report')
            case "$prev" in
                -o|--output)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --growth)
                    COMPREPLY=($(compgen -f -- "$cur"))
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
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'data head')
            case "$prev" in
                -n)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'data user')
            case "$prev" in
                -n)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'data entity')
            case "$prev" in
                -n)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'data convert')
            case "$prev" in
                --of)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --to)
                    COMPREPLY=($(compgen -W "kgat kgcn recbole plain" -- "$cur"))
                    return 0
                    ;;
                --data-set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'data demo')
            case "$prev" in
                --users)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --items)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --seed)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
        'bench')
            case "$prev" in
                --data)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --device)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --recipe)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --bits)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --steps)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
                --out)
                    COMPREPLY=($(compgen -f -- "$cur"))
                    return 0
                    ;;
            esac

            ;;
    esac

    if [[ "$cur" = -* ]]; then
        COMPREPLY=($(compgen -W "$opts" -- "$cur"))
    fi
}

complete -F _tinykg -o bashdefault -o default tinykg
