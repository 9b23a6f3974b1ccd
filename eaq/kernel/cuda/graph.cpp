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

std::unique_ptr<CudaGraph> CudaContext::record(const std::function<void()>& submit) {
  submit();
  synchronise();
  auto state = std::make_unique<CudaGraph::State>();
  state->card = state_->number;
  state->stream = stream();
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture: recording a run");
  cudaGraph_t graph = nullptr;
  try {
    submit();
  } catch (...) {
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
