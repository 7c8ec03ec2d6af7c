"""The eye judge: how doubtful the two eyes of a drawn face are, as blind counters would say."""
