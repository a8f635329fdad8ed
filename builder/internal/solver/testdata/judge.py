"""Answers solver questions with libsolv, the solver of dnf: all of them in one process.

Reads {"cases": [case...]} and writes {"verdicts": [...], "seconds": S}. A case has installed, available (packages), wanted
(dependencies) and answer (numbers of available packages, or null). A package is {n, v, a, p, r, c, o, f}: name, version,
architecture, provides, requires, conflicts, obsoletes (lists of [name, sign, version]) and files. A verdict says whether
there is an answer, whether the given one is one, and which installed packages it replaces."""

import json
import sys
import time

import solv

SIGNS = {"<": solv.REL_LT, "=": solv.REL_EQ, ">": solv.REL_GT, "<=": solv.REL_LT | solv.REL_EQ, ">=": solv.REL_GT | solv.REL_EQ}


def dep(pool, d):
    """A dependency of libsolv's."""
    made = pool.Dep(d[0])
    return made.Rel(SIGNS[d[1]], pool.Dep(d[2])) if d[1] else made


def fill(pool, repo, packages):
    """Puts packages into a repository, and returns them."""
    made = []
    data = repo.add_repodata()
    for p in packages:
        s = repo.add_solvable()
        s.name, s.evr, s.arch = p["n"], p["v"], p["a"]
        s.add_deparray(solv.SOLVABLE_PROVIDES, dep(pool, [p["n"], "=", p["v"]]))
        for key, kind in (("p", solv.SOLVABLE_PROVIDES), ("r", solv.SOLVABLE_REQUIRES), ("c", solv.SOLVABLE_CONFLICTS), ("o", solv.SOLVABLE_OBSOLETES)):
            for d in p.get(key) or []:
                s.add_deparray(kind, dep(pool, d))
        for path in p.get("f") or []:
            directory, _, name = path.rpartition("/")
            data.add_dirstr(s.id, solv.SOLVABLE_FILELIST, data.str2dir(directory or "/"), name)
        made.append(s)
    data.internalize()
    return made


def solve(case, chosen):
    """Asks libsolv; with chosen, only for exactly these packages. Returns solver or None, and the packages it was given."""
    pool = solv.Pool()
    pool.setdisttype(solv.Pool.DISTTYPE_RPM)
    pool.setarch("x86_64")
    pool.installed = pool.add_repo("@System")
    fill(pool, pool.installed, case["installed"])
    available = case["available"] if chosen is None else [case["available"][i] for i in chosen]
    made = fill(pool, pool.add_repo("repository"), available)
    begin = time.perf_counter()
    pool.addfileprovides()
    pool.createwhatprovides()
    jobs = [pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE_NAME, dep(pool, d).id) for d in case["wanted"]]
    if chosen is not None:
        jobs += [pool.Job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, s.id) for s in made]
    solver = pool.Solver()
    solver.set_flag(solv.Solver.SOLVER_FLAG_NO_UPDATEPROVIDE, 1)
    solver.set_flag(solv.Solver.SOLVER_FLAG_IGNORE_RECOMMENDED, 1)
    problems = solver.solve(jobs)
    return pool, solver, made, problems, time.perf_counter() - begin


def judge(case):
    """One verdict; its seconds are those of the solver alone, without filling it."""
    pool, solver, made, problems, took = solve(case, None)
    verdict = {"solvable": not problems, "why": "; ".join(str(p) for p in problems), "size": 0, "seconds": took}
    if not problems:
        verdict["size"] = len(solver.transaction().newsolvables())
    if case.get("answer") is None:
        return verdict
    pool, solver, made, problems, _ = solve(case, case["answer"])
    verdict["valid"] = not problems
    if problems:
        verdict["wrong"] = "; ".join(str(p) for p in problems)
        return verdict
    new = {s.id for s in solver.transaction().newsolvables()}
    verdict["extra"] = sorted(str(s) for s in made if s.id not in new)
    gone = []
    for kind in (solv.Transaction.SOLVER_TRANSACTION_ERASE, solv.Transaction.SOLVER_TRANSACTION_UPGRADED, solv.Transaction.SOLVER_TRANSACTION_OBSOLETED,
                 solv.Transaction.SOLVER_TRANSACTION_DOWNGRADED, solv.Transaction.SOLVER_TRANSACTION_CHANGED, solv.Transaction.SOLVER_TRANSACTION_REINSTALLED):
        gone += [str(s) for s in solver.transaction().steps() if solver.transaction().steptype(s, 0) == kind and s.repo == pool.installed]
    verdict["gone"] = sorted(gone)
    return verdict


def main():
    question = json.load(sys.stdin)
    begin = time.process_time()
    verdicts = [judge(c) for c in question["cases"]]
    json.dump({"verdicts": verdicts, "seconds": time.process_time() - begin}, sys.stdout)


main()
