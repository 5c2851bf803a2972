# What the containers of the tests run: reader.sh WAY, in a static busybox, with a managed Secret at /token.
# It prints a line for each change: what it has read, how often it has read both files, and how often it had to
# begin again because a file was not there.
# It starts no process, so that it reads often and costs little; and it waits between the two files, so that most
# rotations come just then.
way=$1
mkfifo /pause
exec 3<>/pause
pause() {
	read -r -t "$1" _ <&3
}

reads=0
again=0
last=
while :; do
	first=
	second=
	case $way in
	resolve-once) # What the documentation says: both files below one resolved directory.
		{ cd -P /token/..data && read -r first <token; pause 0.02; read -r second <expires-at; } 2>/dev/null
		;;
	resolve-twice) # The same, by a path for each file.
		{ read -r first </token/token; pause 0.02; read -r second </token/expires-at; } 2>/dev/null
		;;
	one-document) # The pair in one file.
		{ read -r first </token/token.json; second=-; pause 0.02; } 2>/dev/null
		;;
	kept) # What does not follow a rotation, beside what does: the token by subPath and in the environment.
		{ read -r first </token/token; read -r second </kept-token; second="$second $TOKEN"; pause 0.1; } 2>/dev/null
		;;
	esac
	if [ -z "$first" ] || [ -z "$second" ]; then
		again=$((again + 1))
		pause 0.01
		continue
	fi
	reads=$((reads + 1))
	if [ "$first $second" != "$last" ]; then
		last="$first $second"
		echo "$reads $again $last"
	fi
done
