#!/bin/bash
# sbatch deploy/slurm.sh JOB.yaml [tamis run's options]. Input and output lie where every node sees them. When the
# time is up the same sbatch goes on where it stopped.
#SBATCH --job-name=tamis
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
set -euo pipefail
: "${1:?usage: sbatch deploy/slurm.sh JOB.yaml [options of tamis run]}"

export RAY_USAGE_STATS_ENABLED=0
# Other users of these nodes can reach the ports: a token keeps them out.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN
# Since 22.05 srun asks for one processor a task, whatever sbatch was given.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST") # all: a pipe that is closed early would fail
head=${nodes[0]}
port=$((20000 + SLURM_JOB_ID % 20000))
gpus=${SLURM_GPUS_ON_NODE:-0}
on_head=(--overlap --nodes=1 --ntasks=1 --nodelist="$head")

srun "${on_head[@]}" \
  ray start --head --block --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" &
ray=$!
until srun "${on_head[@]}" ray health-check --address "$head:$port" 2> /dev/null; do
  kill -0 "$ray" # Ray ended: so does this script
  sleep 2
done
if (( SLURM_JOB_NUM_NODES > 1 )); then
  srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
    ray start --block --address="$head:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" &
  sleep 20 # a run may begin with some nodes and go on with more
fi

srun "${on_head[@]}" tamis run "$@" --address "$head:$port" --progress lines &
run=$!
trap 'kill -TERM "$run"' TERM
status=0
# A signal ends `wait`, but not yet the run, which puts its things in order.
while kill -0 "$run" 2> /dev/null; do
  status=0
  wait "$run" || status=$?
done
scancel --signal=TERM --quiet "$SLURM_JOB_ID" || true
exit "$status"
