#!/bin/bash
# Two nodes of four devices, placement 6:2. Submit with: sbatch slurm.sh RUN
#SBATCH --job-name=grasp
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
set -euo pipefail
run=${1:?usage: sbatch slurm.sh RUN}
runs_folder=${RUNS_FOLDER:-$SLURM_SUBMIT_DIR/runs}  # on a file system that all nodes see
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# A stopped process answers no signal but SIGKILL: do not wait long for it.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=5
# A job that SLURM puts back into the queue goes on where it was.
resume=()
[ -e "$runs_folder/$run/config.yaml" ] && resume=(--resume)
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node 4 --max-restarts 3 \
  --rdzv-backend c10d --rdzv-endpoint "$first:29500" --rdzv-id "$SLURM_JOB_ID" \
  -m grasp_training.cli train teacher --run "$run" --preset node4 --placement 6:2 --runs-folder "$runs_folder" \
  "${resume[@]}"
