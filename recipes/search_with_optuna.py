#!/usr/bin/env python3
"""Searches settings with Optuna: it proposes them, tinykg trains them and says each validation.

    pip install optuna
    python3 search_with_optuna.py kgcn cinema --trials 30 --jobs 2

`tinykg run RECIPE --data DIR --search ask` reads lines of JSON, {"trial": .., "settings": {..}}, and
answers {"trial": .., "epoch": .., "value": ..} after each validation and {"trial": .., "state": ..,
"value": ..} at the end. {"trial": .., "stop": true} stops a trial that is not promising.
"""
import argparse
import json
import subprocess

import optuna


def space(trial):
    """What is searched: change it to what your recipe has (tinykg run RECIPE --help)."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "dim": trial.suggest_categorical("dim", [16, 32, 64]),
        "l2": trial.suggest_float("l2", 1e-7, 1e-3, log=True),
    }


def arguments():
    """The command line: what tinykg does not know, such as --set epochs=20, goes to it as it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("data")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=1, help="trials that run at a time")
    parser.add_argument("--seed", type=int, default=1, help="of Optuna's sampler")
    parser.add_argument("--out", default="runs/optuna", help="folder of all trials")
    parser.add_argument("--tinykg", default="tinykg", help="the program")
    return parser.parse_known_args()


def main():
    args, more = arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=args.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
    )
    process = subprocess.Popen(
        [args.tinykg, "run", args.recipe, "--data", args.data, "--search", "ask",
         "--jobs", str(args.jobs), "--out", args.out, *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    running = {}

    def send(message):
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()

    def begin():
        trial = study.ask()
        running[trial.number] = trial
        send({"trial": trial.number, "settings": space(trial)})

    for _ in range(min(args.jobs, args.trials)):
        begin()
    for line in process.stdout:
        answer = json.loads(line)
        trial = running[answer["trial"]]
        if "epoch" in answer:
            trial.report(answer["value"], answer["epoch"])
            if trial.should_prune():
                send({"trial": trial.number, "stop": True})
            continue
        print("trial %d %s: %s %s" % (trial.number, answer["state"], answer["value"],
                                      answer.get("message", "")))
        if answer["state"] == "done":
            study.tell(trial, answer["value"])
        else:
            pruned = answer["state"] == "stopped"
            study.tell(trial, state=optuna.trial.TrialState.PRUNED if pruned
                       else optuna.trial.TrialState.FAIL)
        del running[trial.number]
        if len(study.trials) < args.trials:
            begin()
        elif not running:
            process.stdin.close()
    if process.wait() != 0:
        raise SystemExit(process.returncode)
    best = study.best_trial
    settings = " ".join("--set %s=%s" % item for item in best.params.items())
    print("best by validation: trial %d, %.4f" % (best.number, best.value))
    print("to train it again: tinykg run %s --data %s %s %s" % (
        args.recipe, args.data, settings, " ".join(more)))


if __name__ == "__main__":
    main()
