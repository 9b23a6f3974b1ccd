// DistilBERT (Sanh et al., 2019) for sequence classification, as Hugging Face's DistilBertForSequenceClassification computes it:
// post-norm blocks, learned or sinusoidal positions, the first token's state through pre_classifier, ReLU, classifier.
#pragma once

#include "eaq/model/model.h"

namespace eaq::model_distilbert {

const ModelFamily& entry();

}  // namespace eaq::model_distilbert
