// Recorded work: a CUDA graph.
#include "eaq/base/base.h"
#include "eaq/kernel/cuda/context.h"

namespace eaq::kernel_cuda {

struct CudaGraph::State {
  int card = 0;
  cudaStream_t stream = nullptr;
  cudaGraphExec_t ready = nullptr;
  ~State() {
    if (ready != nullptr) cudaGraphExecDestroy(ready);
  }
};

CudaGraph::CudaGraph(std::unique_ptr<State> state) : state_(std::move(state)) {}
CudaGraph::~CudaGraph() = default;

void CudaGraph::submit() {
  check(cudaSetDevice(state_->card), "cudaSetDevice: turning to the card");
  check(cudaGraphLaunch(state_->ready, state_->stream), "cudaGraphLaunch: submitting a recorded run");
}

cudaStream_t CudaContext::State::beside(cudaStream_t main) {
  if (!recording) return nullptr;
  check(cudaEventRecord(fork, main), "cudaEventRecord: recording a fork");
  check(cudaStreamWaitEvent(second, fork), "cudaStreamWaitEvent: recording a fork");
  forked = true;
  return second;
}

std::unique_ptr<CudaGraph> CudaContext::record(const std::function<void()>& submit) {
  submit();
  synchronise();
  auto state = std::make_unique<CudaGraph::State>();
  state->card = state_->number;
  state->stream = stream();
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture: recording a run");
  cudaGraph_t graph = nullptr;
  state_->recording = true, state_->forked = false;
  try {
    submit();
    if (state_->forked) {
      check(cudaEventRecord(state_->fork, state_->second), "cudaEventRecord: recording a join");
      check(cudaStreamWaitEvent(stream(), state_->fork), "cudaStreamWaitEvent: recording a join");
    }
    state_->recording = false;
  } catch (...) {
    state_->recording = false;
    cudaStreamEndCapture(stream(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    throw;
  }
  check(cudaStreamEndCapture(stream(), &graph), "cudaStreamEndCapture: recording a run");
  const cudaError_t made = cudaGraphInstantiate(&state->ready, graph, 0);
  cudaGraphDestroy(graph);
  check(made, "cudaGraphInstantiate: recording a run");
  return std::make_unique<CudaGraph>(std::move(state));
}

}  // namespace eaq::kernel_cuda
