# contrib/completion/gatepost.bash - completion of verbs, parameter names and table types for bash.
_gatepost() {
	local cur=${COMP_WORDS[COMP_CWORD]} verb='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c) ((i++)) ;;
		-*) ;;
		*) verb=${COMP_WORDS[i]}; break ;;
		esac
	done
	[[ ${COMP_WORDS[COMP_CWORD - 1]} == -c ]] && { mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return; }
	case $verb in
	'') mapfile -t COMPREPLY < <(compgen -W "$(gatepost -h 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')" -- "$cur") ;;
	config) mapfile -t COMPREPLY < <(compgen -W "$(gatepost man main.cf | sed -n 's/^.It Va "\(.*\)"/\1/p')" -- "$cur") ;;
	map) mapfile -t COMPREPLY < <(compgen -S : -W "$(gatepost config -m 2>/dev/null)" -- "$cur") ;;
	man) mapfile -t COMPREPLY < <(compgen -W 'gatepost main.cf' -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}
complete -F _gatepost gatepost
