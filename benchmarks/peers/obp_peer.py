"""Off-policy estimates beside those of Open Bandit Pipeline: `python benchmarks/peers/obp_peer.py [--data FOLDER]`.

The same logs, targets and guesses of the reward (``tests/proof/obp/problems.py``) go to both. The exit code is 1 if an
estimate of IPW, SNIPW or DR differs by more than 1e-8 of its size. ``--data`` is the folder of the small Open Bandit
Dataset (bts_men.parquet and so on); ``--write`` keeps the peer's figures in ``tests/proof/obp/reference.json``, where a
test compares with them.

The peer runs in an environment of its own. It is installed without what it depends on: it asks for torch (gigabytes)
and for an old Python, and its estimators need neither. What imports torch finds an empty module.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent.parent / "tests" / "proof" / "obp"
ESTIMATORS = {"ips": "InverseProbabilityWeighting", "snips": "SelfNormalizedInverseProbabilityWeighting"}
ESTIMATORS |= {"dr": "DoublyRobust"}


def answer(questions: Path, answers: Path) -> None:
    """In the peer's environment: its estimates of the problems in one file, into another."""
    torch = types.ModuleType("torch")
    torch.tensor = torch.Tensor = type("Tensor", (), {})
    sys.modules["torch"] = torch
    # The package's own __init__ loads simulators and networks; its estimators are found without it.
    found = importlib.util.find_spec("obp")
    package = types.ModuleType("obp")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["obp"] = package
    ope = types.ModuleType("obp.ope")
    ope.__path__ = [str(Path(package.__path__[0]) / "ope")]
    sys.modules["obp.ope"] = ope
    from obp.ope import estimators

    told = {}
    with np.load(questions) as file:
        for name in sorted({key.split("|")[0] for key in file.files}):
            given = {key: file[f"{name}|{key}"] for key in ("reward", "action", "pscore", "target", "guess")}
            asked = {
                "reward": given["reward"],
                "action": given["action"],
                "pscore": given["pscore"],
                "action_dist": np.ascontiguousarray(given["target"][:, :, None]),
                "position": np.zeros(len(given["reward"]), dtype=int),
            }
            told[name] = {}
            for ours, theirs in ESTIMATORS.items():
                more = {"estimated_rewards_by_reg_model": given["guess"][:, :, None]} if ours == "dr" else {}
                estimator = getattr(estimators, theirs)()
                began = time.perf_counter()
                value = float(estimator.estimate_policy_value(**asked, **more))
                middle = time.perf_counter()
                ends = estimator.estimate_interval(**asked, **more, n_bootstrap_samples=200, random_state=1)
                told[name][ours] = {
                    "value": value,
                    "bootstrap": [float(v) for k, v in ends.items() if "CI" in k],
                    "seconds": [middle - began, time.perf_counter() - middle],
                }
    answers.write_text(json.dumps(told), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the small Open Bandit Dataset")
    parser.add_argument("--cache", type=Path, help="folder for the environment (default: a temporary one)")
    parser.add_argument("--python", help="interpreter for the peer")
    parser.add_argument("--write", action="store_true", help="keep the peer's figures for the tests")
    asked = parser.parse_args()
    sys.path[:0] = [str(HERE), str(TESTS)]
    from environments import OBP, Unavailable, worker_command
    from problems import problems

    from retention.proof import evaluate_policy

    every = problems(asked.data)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cache = (asked.cache or folder / "environments").resolve()
        cache.mkdir(parents=True, exist_ok=True)
        try:
            command, version = worker_command(OBP, cache, asked.python, None)
        except Unavailable as reason:
            print(f"obp: left out, {reason}")
            return 0
        np.savez(folder / "q.npz", **{f"{name}|{key}": v for name, one in every.items() for key, v in one.items()})
        done = subprocess.run([*command, str(folder / "q.npz"), str(folder / "a.json")], capture_output=True, text=True)
        if done.returncode:
            print(done.stderr[-2000:])
            return 1
        told = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    print(f"# Beside {version}\n")
    print(
        "| log | estimator | peer | ours | apart | peer's bootstrap (200) | ours | seconds: peer, its bootstrap, ours |"
    )
    print("|---|---|---|---|---|---|---|---|")
    worst = 0.0
    for name, one in every.items():
        for estimator, theirs in told[name].items():
            began = time.perf_counter()
            ours = evaluate_policy(
                one["action"],
                one["reward"],
                one["pscore"],
                one["target"],
                estimator=estimator,
                predicted=one["guess"] if estimator == "dr" else None,
                least_buyers=0,
            )
            spent = time.perf_counter() - began
            apart = abs(ours.value - theirs["value"]) / max(abs(theirs["value"]), 1e-300)
            worst = max(worst, apart)
            low, high = theirs["bootstrap"]
            print(
                f"| {name} | {estimator} | {theirs['value']:.10g} | {ours.value:.10g} | {apart:.1e} | "
                f"{low:.4g} to {high:.4g} | {ours.low:.4g} to {ours.high:.4g} | "
                f"{theirs['seconds'][0]:.4f}, {theirs['seconds'][1]:.3f}, {spent:.4f} |"
            )
    if asked.write:
        kept = {name: {e: v["value"] for e, v in one.items()} for name, one in told.items()}
        text = json.dumps({"by": version.split(" on ")[0], "values": kept}, indent=1)
        (TESTS / "reference.json").write_text(text + "\n", encoding="utf-8")
    print(f"\nLargest difference: {worst:.1e} of the value (aimed at: 1e-8).")
    return int(worst > 1e-8)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].endswith(".npz"):
        answer(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        sys.exit(main())
