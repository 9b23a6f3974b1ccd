if(NOT EAQ_CUDA)
  set(LEFT_OUT "built without CUDA (make build-cuda builds with it)")
endif()
